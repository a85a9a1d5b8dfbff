"""What all tests share: they are repeatable, and none of them reaches a network."""

import os

# For this process, as the program does for itself; the processes it starts see to themselves.
os.environ["OPENBLAS_NUM_THREADS"] = "1"
import numpy  # noqa: F401

del os.environ["OPENBLAS_NUM_THREADS"]

import pytest
import requests  # noqa: F401 - loaded now, so that no test with little patience has to wait for it
from hypothesis import settings

import import_data

settings.register_profile("repeatable", derandomize=True, deadline=None, database=None)
settings.load_profile("repeatable")


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Know no mirrors, no settings of the user's and nothing of the tests before."""
    monkeypatch.setattr(import_data, "MIRRORS", ())
    monkeypatch.setattr(import_data, "_waiting", {})
    for name in ("MNIST_DIR", "MNIST_MIRROR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setenv("no_proxy", "*")
