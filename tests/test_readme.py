"""Tests of the page: its commands, scripts, sessions and formulas are those of the code."""

import inspect
import re
import sys
import textwrap
from pathlib import Path

import numpy as np
import PIL.ExifTags
import PIL.Image
import pytest
from program import PROJECT, run

import neural_network
from import_data import SAMPLE_FOLDER
from neural_network import Array

pytestmark = pytest.mark.unix

README = (PROJECT / "README.md").read_text("utf-8")


def block(beginning: str) -> str:
    """Return the only block of Python that begins with a text."""
    (found,) = re.findall(f"```python\n({re.escape(beginning)}.*?)```", README, re.S)
    return str(found)


def test_the_example_prints_what_it_says() -> None:
    example = block("from import_data import get_data\nfrom neural_network import predict, train")
    first, accuracy = run("", command=(sys.executable, "-c", example)).output.split()
    assert first == "7"
    assert float(accuracy) > 0.94


@pytest.mark.parametrize("is_saved", [False, True])
def test_the_picture_script_classifies_a_photo_with_a_new_network_or_the_saved_one(
    sample: tuple[Array, ...], tmp_path: Path, is_saved: bool
) -> None:
    ink = sample[2][1].reshape(28, 28).repeat(10, axis=0).repeat(10, axis=1)
    photo = 180 - 120 * ink + np.linspace(0, 60, 280)  # a 2 on gray paper that is lit unevenly
    turned = PIL.Image.fromarray(photo.astype(np.uint8)).rotate(90)
    exif = turned.getexif()
    exif[PIL.ExifTags.Base.Orientation] = 6  # what a phone writes if it was turned
    turned.save(tmp_path / "digit.png", exif=exif)
    if is_saved:
        biases = np.where(np.arange(10) == 8, 9.0, -9)
        network = neural_network.initialize_weights_and_biases()._replace(biases_output=biases)
        np.savez(tmp_path / "network.npz", **network._asdict())
    (tmp_path / "digit.py").write_text(block("from pathlib import Path\n"))
    outcome = run(
        "",
        command=(sys.executable, "digit.py"),
        folder=tmp_path,
        PYTHONPATH=str(PROJECT),
        MNIST_DIR=str(SAMPLE_FOLDER),
    )
    assert (outcome.status, outcome.errors) == (0, "")
    assert outcome.output.endswith(f"\nPrediction: {8 if is_saved else 2}\n")


def test_the_sessions_print_what_they_say() -> None:
    assert run("", command=(sys.executable, "-m", "doctest", "README.md")) == (0, "", "")


def test_the_sessions_print_the_same_on_all_of_mnist(full_mnist: Path) -> None:
    command = (sys.executable, "-m", "doctest", "README.md")
    assert run("", command=command, MNIST_DIR=str(full_mnist)) == (0, "", "")


LOOPS = re.findall(r"```python\n([^>`]*?import[^`]*?\nfor .*?)```", README, re.S)


def accuracy_after(loop: str, folder: Path) -> float:
    """Return the test accuracy that one of the chapter's loops prints."""
    outcome = run("", command=(sys.executable, "-c", loop), MNIST_DIR=str(folder))
    assert outcome.errors == ""
    return float(outcome.output)


def test_the_loops_of_the_chapter_can_be_pasted_as_they_stand() -> None:
    assert [accuracy_after(loop, SAMPLE_FOLDER) > 0.6 for loop in LOOPS] == [True, True]


def test_the_loops_of_the_chapter_reach_their_accuracy_on_all_of_mnist(full_mnist: Path) -> None:
    original, batches = LOOPS
    assert accuracy_after(original, full_mnist) > 0.925
    assert accuracy_after(batches, full_mnist) > 0.915


def test_the_formulas_of_the_chapter_are_those_of_the_module() -> None:
    chapter = README.partition("## How it learns")[2].partition("\n## ")[0]
    formulas = re.findall("```python\n([^>].*?)```", chapter, re.S)
    shown = [formula for formula in formulas if formula not in LOOPS]
    assert len(shown) == 3
    for formula in shown:
        assert textwrap.indent(formula, "    ") in inspect.getsource(neural_network)
