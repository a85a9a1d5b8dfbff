"""What all tests share: they are repeatable and work offline."""

import os
import signal
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # read when NumPy is imported: below, and in the programs

import pytest
from hypothesis import settings

from import_data import SAMPLE_FOLDER, SHA256, find_file, get_data
from neural_network import Array, Network, train

DATA = Path(__file__).resolve().parent.with_name("data")
FULL_MNIST = Path(os.environ.pop("MNIST_DIR", "") or DATA).expanduser().resolve()
for variable in ("MNIST_MIRROR", "COLUMNS", "LINES"):
    os.environ.pop(variable, None)
# A proxy that refuses connections keeps the tests off public mirrors. The user's own lower-case
# variables would override it.
for variable in list(os.environ):
    if variable.lower().endswith("_proxy"):
        del os.environ[variable]
os.environ.update(HTTPS_PROXY="http://127.0.0.1:1", NO_PROXY="127.0.0.1")
# A job started with `&` ignores SIGINT, and so would the programs that it starts.
signal.signal(signal.SIGINT, signal.default_int_handler)

settings.register_profile("repeatable", derandomize=True, deadline=None, database=None)
settings.load_profile("repeatable")


@pytest.fixture(scope="session")
def sample() -> tuple[Array, Array, Array, Array]:
    """Return the bundled sample: training images and labels, test images and labels."""
    return (*get_data("train", folder=SAMPLE_FOLDER), *get_data("test", folder=SAMPLE_FOLDER))


@pytest.fixture(scope="session")
def trained(sample: tuple[Array, Array, Array, Array]) -> Network:
    """Return a network that was trained on the bundled sample as the program trains it."""
    return train(sample[0], sample[1], seed=0)


@pytest.fixture
def full_mnist() -> Path:
    """Return the folder that contains all of MNIST; if there is none, skip the test."""
    if FULL_MNIST == SAMPLE_FOLDER or not all(find_file(FULL_MNIST, name) for name in SHA256):
        pytest.skip("all of MNIST must be in data/ or in the folder set by MNIST_DIR")
    return FULL_MNIST
