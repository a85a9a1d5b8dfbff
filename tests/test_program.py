"""Tests of `python neural_network.py` as a person runs it, through pipes and in a terminal.

Nearly all runs are on the bundled sample, with a network that is quickly trained and often wrong.
"""

import contextlib
import gzip
import inspect
import io
import os
import re
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import PIL.ExifTags
import PIL.Image
import pytest
from mirror import Mirror, send, stop_halfway, trickle
from terminal import Terminal

import import_data
import neural_network
from neural_network import EPOCHS, HIDDEN_NODES, LEARNING_RATE, Array, Network

pytestmark = pytest.mark.unix

PROJECT = Path(__file__).resolve().parent.parent
PROGRAM = (sys.executable, "neural_network.py")
QUICK = ("--epochs", "1", "--hidden-nodes", "16")
ENDLESS = ("--epochs", "10000", "--hidden-nodes", "16")

PROMPT = "Enter an index (0 - 5999), ? for help, q to quit: "
EXPLANATION = "Enter 0 - 5999, t 0 - 999, n 0 - 15, w, n, d, q or ?."
ROW = re.compile(
    r" *(?P<epoch>\d+)/(?P<epochs>\d+) +(?P<images>[\d,]+)"
    r"  (?P<error>\d\.\d{4}) +(?P<accuracy>\d+\.\d\d)% +(?P<seconds>\d+\.\d) s"
)
ANSWER = re.compile(
    r"Prediction: (?P<prediction>\d), label: (?P<label>\d)(?P<verdict>, correct|  <-- WRONG)"
)

Sample = tuple[Array, Array, Array, Array]


class Outcome(NamedTuple):
    """How a run ended, and what it printed."""

    status: int
    output: str
    errors: str


def environment(**changes: str) -> dict[str, str]:
    """Return an environment that is the same wherever the tests run, with some changes."""
    of_the_user = ("TERM", "COLORTERM", "NO_COLOR", "COLUMNS", "LINES", "LC_ALL", "LANG", "PYTHON")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(of_the_user)}
    fixed = {
        "MNIST_DIR": "tests/mnist_sample",
        "LC_ALL": "C.UTF-8",
        "INPUTRC": os.devnull,
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    return kept | fixed | changes


def run(
    typed: str | bytes = "",
    *options: str,
    command: Sequence[str] = PROGRAM,
    encoding: str = "utf-8",
    **changes: str,
) -> Outcome:
    """Run the program with pipes until it ends."""
    finished = subprocess.run(
        [*command, *options],
        input=typed if isinstance(typed, bytes) else typed.encode(),
        capture_output=True,
        env=environment(PYTHONIOENCODING=encoding, **changes),
        cwd=PROJECT,
    )
    output, errors = (stream.decode(encoding) for stream in (finished.stdout, finished.stderr))
    return Outcome(finished.returncode, output, errors)


def in_shell(words: str) -> tuple[str, ...]:
    """Return the command for the program with something that only a shell can do to it."""
    return ("sh", "-c", words, "sh", *PROGRAM)


def in_terminal(
    *options: str, command: Sequence[str] = PROGRAM, columns: int = 80, **changes: Any
) -> Terminal:
    """Start the program in a terminal of 24 lines."""
    variables = environment(**{"TERM": "xterm", **changes})
    return Terminal([*command, *options], variables, PROJECT, columns=columns)


def ask(terminal: Terminal, question: str) -> list[str]:
    """Ask something at the prompt of a terminal, and return the answer, line by line.

    The question, the answer and the next prompt have to be on the screen together.
    """
    terminal.press(question + "\r")
    terminal.wait_for(PROMPT)
    rows = terminal.rows()
    assert rows[-1] == PROMPT.rstrip()
    asked = max(number for number, row in enumerate(rows) if row == PROMPT + question)
    return rows[asked + 1 : -1]


def quit_program(terminal: Terminal) -> None:
    """Quit at the prompt of a terminal."""
    terminal.press("q\r")
    assert terminal.finish() == 0
    assert terminal.screen.cursor.x == 0


def read_bars(rows: Sequence[str], block: str = "█") -> list[tuple[float, int]]:
    """Return the output of each digit and the length of its bar, from beside a drawing."""
    bars = []
    for digit, row in enumerate(rows[2:12]):
        found = re.fullmatch(rf"   {digit} ([01]\.\d\d)(?: ({block}+))?", row[28:])
        assert found
        bars.append((float(found[1]), len(found[2] or "")))
    assert rows[1][28:] == "   Output"
    assert all(len(row) <= 28 for row in (rows[0], *rows[12:14]))
    return bars


def check_answer(
    lines: Sequence[str], image: Array, label: Array, *, longest_bar: int = 20
) -> dict[str, Any]:
    """Check that an answer draws an image in characters and names it; return what it says."""
    *drawing, words = lines
    pixels = [line[:28].ljust(28) for line in drawing]
    has_blocks = set("".join(pixels)) <= set(" ░▒▓█")
    shades = " ░▒▓█" if has_blocks else " .:-=+*#%@"
    drawn = [[shades.index(character) for character in line] for line in pixels]
    wanted = image.reshape(14, 2, 28).mean(axis=1) * (len(shades) - 1)
    assert np.abs(np.array(drawn) - wanted).max() <= 0.501
    bars = read_bars(drawing, "█" if has_blocks else "#")
    assert all(abs(length - longest_bar * output) <= 0.7 for output, length in bars)
    answer = ANSWER.fullmatch(words)
    assert answer
    assert int(answer["prediction"]) in [d for d, bar in enumerate(bars) if bar == max(bars)]
    assert int(answer["label"]) == label.argmax()
    assert (answer["verdict"] == ", correct") == (answer["prediction"] == answer["label"])
    return answer.groupdict()


# From the start to the prompt


@pytest.fixture(scope="module")
def session() -> Outcome:
    """Train with all settings as they are, and quit."""
    return run("q\n")


def test_in_a_pipe_there_are_only_plain_lines(session: Outcome) -> None:
    assert (session.status, session.errors) == (0, "")
    assert session.output.replace("\n", "").isprintable()
    assert session.output.endswith(f"{PROMPT}\n")


def test_each_epoch_has_a_line_with_its_error_and_accuracy(session: Outcome) -> None:
    title, columns, *lines = session.output.splitlines()
    assert title == f"Training: 784 pixels, {HIDDEN_NODES} hidden nodes, 10 outputs"
    assert columns == "Epoch  Unlearned images   Error  Training accuracy   Time"
    epochs = [epoch for epoch in map(ROW.fullmatch, lines) if epoch]
    assert [int(epoch["epoch"]) for epoch in epochs] == list(range(1, EPOCHS + 1))
    assert {int(epoch["epochs"]) for epoch in epochs} == {EPOCHS}
    images = [int(epoch["images"].replace(",", "")) for epoch in epochs]
    assert images[0] == 6000 > max(images[1:])
    first, last = epochs[0], epochs[-1]
    assert float(first["error"]) > 4 * float(last["error"]) > 0
    assert float(first["accuracy"]) < 90 < 96 < float(last["accuracy"]) < 100
    seconds = [float(epoch["seconds"]) for epoch in epochs]
    assert seconds == sorted(seconds)
    assert seconds[-1] > 0


def test_a_row_has_the_error_and_the_accuracy_of_all_images(
    capsys: pytest.CaptureFixture[str],
) -> None:
    labels = np.eye(10)[[3, 5]]
    outputs = np.zeros((2, 10))
    outputs[0, 3], outputs[1, 4] = 1, 0.5
    neural_network.training_table(labels)(3, 10, 1234, 1234, outputs)
    row = ROW.fullmatch(capsys.readouterr().out.splitlines()[-1])
    assert row
    assert row.group("epoch", "epochs", "images") == ("3", "10", "1,234")
    assert float(row["error"]) == pytest.approx((1 + 0.25) / 20, abs=0.00005)
    assert row["accuracy"] == "50.00"


def test_before_the_prompt_it_says_how_good_it_is_and_what_to_ask_and_what_the_data_are(
    session: Outcome,
) -> None:
    *_, accuracy, hint, sample, _ = session.output.splitlines()
    found = re.fullmatch(r"Test accuracy: (\d\d\.\d\d)% \((\d+) of 1,000 misclassified\)", accuracy)
    assert found
    assert float(found[1]) == pytest.approx(100 - int(found[2]) / 10, abs=0.005)
    assert float(found[1]) > 94
    assert hint == "Try w for a mistake, n for a hidden node, d to draw a digit."
    assert sample == "The data are the bundled sample, a tenth of MNIST."


def test_without_epochs_there_is_no_table() -> None:
    lines = run("q\n", "--epochs", "0").output.splitlines()
    assert lines[0].startswith("Training: ")
    assert lines[1].startswith("Test accuracy: ")


def test_all_of_mnist(full_mnist: Path) -> None:
    outcome = run("59999\nt 9999\n60000\nt 10000\nq\n", MNIST_DIR=str(full_mnist))
    assert (outcome.status, outcome.errors) == (0, "")
    training, last, last_test, *explained, _ = outcome.output.split("Enter an index (0 - 59999)")
    assert re.search(r"^ 1/10 +60,000 ", training, re.M)
    accuracy = re.search(r"^Test accuracy: (.*)%", training, re.M)
    assert accuracy
    assert float(accuracy[1]) >= 98.5
    assert "bundled sample" not in training
    assert "label: 8" in last
    assert "label: 6" in last_test
    assert all("Enter 0 - 59999, t 0 - 9999" in answer for answer in explained)


def test_help_explains_the_options() -> None:
    outcome = run("", "--help")
    words = " ".join(outcome.output.split())
    assert outcome.status == 0
    for default in (EPOCHS, HIDDEN_NODES, LEARNING_RATE, 0):
        assert f"(default: {default})" in words
    for name in (*OPTIONS, "MNIST_DIR", "MNIST_MIRROR"):
        assert name in words


OPTIONS = {
    "--epochs": (("-1", "10001", "x"), "must be an integer from 0 to 10,000"),
    "--hidden-nodes": (("0", "100001", "9" * 9999), "must be an integer from 1 to 100,000"),
    "--learning-rate": (
        ("0", "-1", "nan", "inf", "101", "x"),
        "must be a number above 0 and at most 100",
    ),
    "--seed": (("-1", "1.5", "1000000000"), "must be an integer from 0 to 999,999,999"),
}


@pytest.mark.parametrize("option", OPTIONS)
def test_an_option_out_of_range_is_explained_in_a_line(
    option: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    values, range_in_words = OPTIONS[option]
    for value in values:
        monkeypatch.setattr("sys.argv", ["neural_network.py", option, value])
        with pytest.raises(SystemExit, match="2"):
            neural_network.main()
        output, errors = capsys.readouterr()
        assert output == ""
        assert errors.splitlines()[-1].endswith(f": error: argument {option}: {range_in_words}")


def test_the_options_are_the_settings_of_the_training(monkeypatch: pytest.MonkeyPatch) -> None:
    options = "--epochs 3 --hidden-nodes 5 --learning-rate 0.25 --seed 7"
    monkeypatch.setattr("sys.argv", ["neural_network.py", *options.split()])
    assert vars(neural_network.parse_arguments()) == {
        "epochs": 3,
        "hidden_nodes": 5,
        "learning_rate": 0.25,
        "seed": 7,
    }


def test_only_different_settings_give_a_different_output() -> None:
    outputs = [
        re.sub(r"\d+\.\d s\n", "", run("7\nw\nq\n", *QUICK, *options).output)
        for options in ((), ("--seed", "0"), ("--seed", "1"), ("--learning-rate", "2"))
    ]
    assert outputs[0] == outputs[1]
    assert len(set(outputs)) == 3


README = (PROJECT / "README.md").read_text("utf-8")
PICTURE_SCRIPT, README_SNIPPET = re.findall("```python\n(import .*?)```", README, re.S)


@pytest.mark.parametrize(
    ("command", "settings", "threads"),
    [
        (PROGRAM, {}, "1 1"),
        (PROGRAM, {"OMP_NUM_THREADS": "2", "VECLIB_MAXIMUM_THREADS": "3"}, "2 3"),
        ((sys.executable, "-c", "import neural_network"), {}, "None None"),
        ((sys.executable, "-c", README_SNIPPET), {}, "1 None"),
    ],
    ids=["program", "user's own", "module", "snippet"],
)
def test_what_is_set_for_one_thread_when_numpy_is_imported(
    tmp_path: Path, command: tuple[str, ...], settings: dict[str, str], threads: str
) -> None:
    (tmp_path / "numpy.py").write_text(
        "import os\n"
        "print(os.environ.get('OMP_NUM_THREADS'), os.environ.get('VECLIB_MAXIMUM_THREADS'))\n"
        "raise SystemExit\n"
    )
    variables = environment(PYTHONPATH=str(tmp_path))
    del variables["OMP_NUM_THREADS"]
    output = subprocess.check_output(command, env=variables | settings, cwd=PROJECT, text=True)
    assert output == f"{threads}\n"


def test_the_snippet_of_the_readme_gives_what_it_says() -> None:
    first, accuracy = run("", command=(sys.executable, "-c", README_SNIPPET)).output.split()
    assert first == "7"
    assert float(accuracy) > 0.94


def test_the_script_of_the_readme_classifies_a_photo(sample: Sample, tmp_path: Path) -> None:
    ink = sample[2][1].reshape(28, 28).repeat(10, axis=0).repeat(10, axis=1)
    photo = 180 - 120 * ink + np.linspace(0, 60, 280)  # a 2 on gray paper, with a shadow
    turned = PIL.Image.fromarray(photo.astype(np.uint8)).rotate(90)
    exif = turned.getexif()
    exif[PIL.ExifTags.Base.Orientation] = 6  # what a phone writes if it was turned
    turned.save(tmp_path / "digit.png", exif=exif)
    (tmp_path / "digit.py").write_text(PICTURE_SCRIPT)
    command = ("sh", "-c", f"cd {tmp_path} && {sys.executable} digit.py")
    outcome = run(
        "", command=command, PYTHONPATH=str(PROJECT), MNIST_DIR=str(import_data.SAMPLE_FOLDER)
    )
    assert (outcome.status, outcome.errors) == (0, "")
    assert outcome.output.endswith("\nPrediction: 2\n")


def test_the_session_of_the_readme_prints_what_it_says() -> None:
    assert run("", command=(sys.executable, "-m", "doctest", "README.md")) == (0, "", "")


def test_the_formulas_of_the_readme_are_those_of_the_module() -> None:
    chapter = README.partition("## How it learns")[2].partition("\n## ")[0]
    formulas = re.findall("```python\n([^>].*?)```", chapter, re.S)
    assert len(formulas) == 3
    code = inspect.getsource(neural_network)
    for formula in formulas:
        assert textwrap.indent(formula, "    ") in code


def test_importing_the_module_prints_nothing() -> None:
    command = (sys.executable, "-W", "error", "-c", "import neural_network")
    assert run("", command=command) == (0, "", "")


# The prompt

ANSWERED = {
    "7": ("train", 7),
    "0": ("train", 0),
    "5999": ("train", 5999),
    " 007\t\r": ("train", 7),
    "t 5": ("test", 5),
    "T999": ("test", 999),
}
NODES = {"n 15": 15, "n0": 0}
EXPLAINED: tuple[str | bytes, ...] = (
    "-1",
    "6000",
    "t 1000",
    "n 16",
    "n -1",
    "1e3",
    "4 2",
    "\N{ARABIC-INDIC DIGIT FOUR}",
    "\N{SUPERSCRIPT TWO}",
    "9" * 10_000,
    b"\xff\xfe7",
    "\x1b[A\0",
    "quite",
)


@pytest.fixture(scope="module")
def dialogue() -> dict[str | bytes, str]:
    """Return what is answered to each question, asked in one run."""
    questions: list[str | bytes] = [*ANSWERED, *NODES, *EXPLAINED, "", "?", " Help", "h"]
    lines = [line if isinstance(line, bytes) else line.encode() for line in questions]
    outcome = run(b"\n".join(lines), *QUICK)  # the last line ends with the input
    assert (outcome.status, outcome.errors) == (0, "")
    _, *answers, after_the_end = outcome.output.split(PROMPT)
    assert after_the_end == "\n"
    return dict(zip(questions, answers, strict=True))


@pytest.mark.parametrize("question", ANSWERED)
def test_an_index_is_answered_with_the_image_and_the_prediction(
    dialogue: dict[str, str], sample: Sample, question: str
) -> None:
    split, index = ANSWERED[question]
    images, labels = sample[:2] if split == "train" else sample[2:]
    newline, title, *lines = dialogue[question].splitlines()
    assert newline == ""
    assert title == f"{'Test' if split == 'test' else 'Training'} image {index}:"
    check_answer(lines, images[index], labels[index])


@pytest.mark.parametrize("question", NODES)
def test_the_number_of_a_hidden_node_shows_it(dialogue: dict[str, str], question: str) -> None:
    _, title, _, *lines = dialogue[question].splitlines()
    assert re.fullmatch(rf"Hidden node {NODES[question]}, rank \d+ of 16 by strength:", title)
    assert len(read_weights(lines)) == 10


@pytest.mark.parametrize("question", EXPLAINED, ids=lambda question: repr(question)[:20])
def test_anything_else_is_explained_in_a_line(
    dialogue: dict[str | bytes, str], question: str | bytes
) -> None:
    assert dialogue[question] == f"\n{EXPLANATION}\n"


def test_the_question_mark_lists_what_can_be_asked(dialogue: dict[str, str]) -> None:
    listed = re.findall(r"^  (.+?)  +\S.*$", dialogue["?"], re.M)
    assert listed == ["42", "t 42", "Enter", "w", "n", "n 42", "d", "?", "q"]
    assert "Ctrl-D" in dialogue["?"]
    assert dialogue["?"] == dialogue[" Help"] == dialogue["h"]
    assert max(map(len, dialogue["?"].splitlines())) <= 80


@pytest.mark.parametrize("columns", [50, 30])
def test_help_wraps_at_words(
    columns: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    ask_in_process(monkeypatch, "?\n", *NOTHING)
    output = capsys.readouterr().out.partition("to quit: ")[2].rpartition("Enter an index")[0]
    assert max(map(len, output.splitlines())) <= columns
    assert output.split() == neural_network.HELP.split()


def test_an_empty_line_shows_any_test_image_and_says_which(
    dialogue: dict[str, str], sample: Sample
) -> None:
    _, title, *lines = dialogue[""].splitlines()
    number = re.fullmatch(r"Test image (\d+):", title)
    assert number
    check_answer(lines, sample[2][int(number[1])], sample[3][int(number[1])])


def test_every_test_image_may_be_shown_after_an_empty_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    images = np.zeros((3, 784)), np.eye(10)[:3]
    ask_in_process(monkeypatch, "\n" * 100, images, images, [], BLANK)
    # One of the three misses a hundred times with a probability of 1e-17.
    assert set(re.findall(r"Test image (\d+):", capsys.readouterr().out)) == {"0", "1", "2"}


def test_w_without_mistakes_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ask_in_process(monkeypatch, "w\n", *NOTHING)
    assert "\nNo test image is misclassified.\n" in capsys.readouterr().out


BLANK = Network(np.zeros((784, 1)), np.zeros((1, 10)), np.zeros(1), np.zeros(10))
EMPTY = np.zeros((0, 784)), np.zeros((0, 10))
NOTHING: tuple[Any, ...] = EMPTY, EMPTY, [], BLANK


def ask_in_process(monkeypatch: pytest.MonkeyPatch, typed: str, *arguments: Any) -> None:
    """Let `prompt_loop` answer what is typed."""
    monkeypatch.setattr("sys.stdin", io.StringIO(typed))
    neural_network.prompt_loop(*arguments)


@pytest.mark.parametrize("word", ["q", "Q", " quit ", "exit"])
def test_a_word_quits(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], word: str
) -> None:
    ask_in_process(monkeypatch, f"{word}\n7\n", *NOTHING)
    assert capsys.readouterr().out.count("Enter") == 1


def test_the_prompt_takes_as_many_images_as_there_are(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    images, labels = (
        np.broadcast_to(0.0, (60_000, 784)),
        np.broadcast_to(np.eye(10)[0], (60_000, 10)),
    )
    test_set = images[:10_000], labels[:10_000]
    ask_in_process(monkeypatch, "59999\nt 9999\n60000\n", (images, labels), test_set, [], BLANK)
    output = capsys.readouterr().out
    (prompt,) = set(re.findall(r"Enter an index \(0 - 59999\).*quit: ", output))
    assert len(prompt + "t 9999") < 60
    assert output.count("Enter an index (0 - 59999)") == 4
    assert output.count("Prediction") == 2
    assert output.count("\nEnter 0 - 59999, t 0 - 9999, n 0 - 0, w, n, d, q or ?.\n") == 1


def test_w_shows_one_mistake_after_the_other_and_then_begins_again(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    sample: Sample,
    trained: neural_network.Network,
) -> None:
    images, labels = sample[2:]
    predictions = neural_network.predict(images, *trained)
    wrong = np.flatnonzero(predictions != labels.argmax(axis=1)).tolist()[:3]
    ask_in_process(monkeypatch, "w\n" * 4, sample[:2], sample[2:], wrong, trained)
    _, *answers, _ = capsys.readouterr().out.split(PROMPT)
    assert answers[3] == answers[0]
    for count, (answer, index) in enumerate(zip(answers, wrong, strict=False), start=1):
        _, first, second, *lines = answer.splitlines()
        assert (first, second) == (f"Misclassified image {count} of 3:", f"Test image {index}:")
        assert check_answer(lines, images[index], labels[index])["verdict"] == "  <-- WRONG"


@pytest.mark.parametrize(
    ("columns", "longest"), [("200", 20), ("60", 20), ("50", 12), ("40", 2), ("38", 0), ("20", 0)]
)
@pytest.mark.parametrize(("encoding", "block"), [("utf-8", "█"), ("ascii", "#")])
def test_a_bar_is_as_long_as_the_output_and_as_the_terminal_has_room(
    monkeypatch: pytest.MonkeyPatch, columns: str, longest: int, encoding: str, block: str
) -> None:
    wanted = [0.001, 0.01, 0.1, 0.25, 0.5, 0.52, 0.75, 0.9, 0.98, 0.999]
    biases_output = np.log(np.divide(wanted, np.subtract(1, wanted)))
    network = Network(np.zeros((784, 1)), np.zeros((1, 10)), np.zeros(1), biases_output)
    screen = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setattr("sys.stdout", screen)
    neural_network.show_prediction(np.zeros(784), network)
    screen.seek(0)
    *rows, answer = screen.read().splitlines()
    for output, (shown, bar) in zip(wanted, read_bars(rows, block), strict=True):
        assert shown == pytest.approx(output, abs=0.0051)
        assert bar == pytest.approx(longest * output, abs=0.501)
    assert answer == "Prediction: 9"  # there is no label


# Hidden nodes


def read_weights(rows: Sequence[str], longest_bar: int = 10, signs: str = "█│") -> list[Any]:
    """Return the weights beside a picture, and the bars: their lengths and signs."""
    block, middle = tuple(signs)
    weights = []
    assert rows[1][28:] == "   Weight to output"
    for digit, row in enumerate(rows[2:12]):
        found = re.fullmatch(
            rf"   {digit} ([+-]\d\.\d\d) ( *)({block}*)[{middle}]({block}*)", row[28:]
        )
        assert found
        blanks, left, right = map(len, found.groups()[1:])
        assert blanks + left == longest_bar
        assert not (left and right)
        weights.append((float(found[1]), right - left))
    return weights


@pytest.fixture
def by_hand() -> Network:
    """Return a network with three hidden nodes, of which the last is the strongest."""
    incoming = np.zeros((28, 28, 3))
    incoming[4:8, 3:6, 1] = 2  # where ink raises the output of node 1
    incoming[20:24, 20:25, 1] = -2
    incoming[12:14, 10, 1] = 1
    incoming[0, 0, 1] = -200  # a few far larger weights do not make the others look like 0
    outgoing = np.zeros((3, 10))
    outgoing[1] = [-2, -1.004, -0.5, 0, 0.1, 0.5, 1, 1.5, 2, 0.25]
    incoming[5, 5, 0], outgoing[0, 7] = 3, 10
    incoming[:, :, 2], outgoing[2] = 20, 9
    return Network(incoming.reshape(784, 3), outgoing, np.zeros(3), np.zeros(10))


@pytest.mark.parametrize(
    ("encoding", "key", "signs"), [("utf-8", " ░▒▓█", "█│"), ("ascii", "=- +#", "#|")]
)
@pytest.mark.parametrize(
    ("columns", "longest_bar"), [(80, 10), (60, 10), (50, 5), (40, 0), (30, 0)]
)
def test_a_hidden_node_is_a_picture_with_signs_and_ten_weights(
    monkeypatch: pytest.MonkeyPatch,
    by_hand: Network,
    encoding: str,
    key: str,
    signs: str,
    columns: int,
    longest_bar: int,
) -> None:
    screen = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setattr("sys.stdout", screen)
    ask_in_process(monkeypatch, "n 1\n", EMPTY, EMPTY, [], by_hand)
    screen.seek(0)
    _, title, explanation, *rows, _ = screen.read().splitlines()
    assert title == "Hidden node 1, rank 2 of 3 by strength:"
    assert explanation == f"Ink lowers its output [{key}] ink raises its output"
    lowered, a_bit_lowered, zero, a_bit_raised, raised = tuple(key)
    wanted = np.full((14, 28), zero)
    wanted[2:4, 3:6] = raised
    wanted[10:12, 20:25] = lowered
    wanted[6, 10] = a_bit_raised
    wanted[0, 0] = a_bit_lowered  # a pixel at the limit, and one of 0 below it
    assert [row[:28].ljust(28) for row in rows] == ["".join(row) for row in wanted]
    numbers, bars = zip(*read_weights(rows, longest_bar, signs), strict=True)
    assert list(numbers) == [-2, -1, -0.5, 0, 0.1, 0.5, 1, 1.5, 2, 0.25]
    assert np.abs(np.array(bars) - longest_bar * by_hand[1][1] / 2).max() <= 0.501
    assert max(map(len, rows)) <= max(47, columns)


def test_n_shows_the_strongest_node_first_and_then_begins_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # The norms are 1, 4, 3 and 5, 1, 3, so the strengths are 5, 4, 9.
    incoming, outgoing = np.zeros((784, 3)), np.zeros((3, 10))
    incoming[100:104] = [[0.5, -2, 1.5]] * 4
    outgoing[:, 0], outgoing[:, 9] = [3, 0.6, 1.8], [-4, 0.8, 2.4]
    network = Network(incoming, outgoing, np.zeros(3), np.zeros(10))
    ask_in_process(monkeypatch, "n\nn\nn 2\nn\nN\nn 3\n", EMPTY, EMPTY, [], network)
    output = capsys.readouterr().out
    shown = re.findall(r"^Hidden node (\d), rank (\d) of 3 by strength:$", output, re.M)
    assert shown == [("2", "1"), ("0", "2"), ("2", "1"), ("1", "3"), ("2", "1")]
    assert output.count("n 0 - 2, w, n, d, q or ?.") == 1


# Interruptions


def check_interrupted(terminal: Terminal) -> None:
    """Press Ctrl-C; check that the program ends at once, in few words, and on a new line."""
    before = terminal.output
    terminal.press("\x03")
    assert terminal.finish() == 130
    for line in re.split("[\r\n]+", terminal.output.removeprefix(before).replace("^C", "")):
        # Progress may be printed until the program notices the interruption.
        assert re.fullmatch(r"[\d/,.% ]*(done|s)? *|[\d,]+ kB of .*", line)
    assert terminal.screen.cursor.x == 0
    assert terminal.rows()[-2] != ""


def test_an_interruption_of_a_download_ends_the_program_and_leaves_nothing(tmp_path: Path) -> None:
    with (
        Mirror({"train-images-idx3-ubyte.gz": bytes(2_000_000)}, stop_halfway) as mirror,
        in_terminal(MNIST_DIR=str(tmp_path), MNIST_MIRROR=mirror.url) as terminal,
    ):
        for _ in range(3):
            terminal.wait_for(f"\r999 kB of train-images-idx3-ubyte.gz from {mirror.host}")
        assert sum("kB" in row for row in terminal.rows()) == 1
        check_interrupted(terminal)
    assert list(tmp_path.iterdir()) == []


def test_an_interruption_of_the_training_ends_the_program() -> None:
    with in_terminal(*ENDLESS) as terminal:
        terminal.wait_for("    2/10000  ")
        check_interrupted(terminal)


def test_an_interruption_at_the_prompt_ends_the_program() -> None:
    with in_terminal(*QUICK) as terminal:
        terminal.wait_for(PROMPT)
        # CPython loses a signal that comes the very moment in which `input` begins to wait.
        terminal.press("42")
        terminal.wait_for("42")
        check_interrupted(terminal)


# What can go wrong


@contextlib.contextmanager
def started(*options: str) -> Iterator["subprocess.Popen[bytes]"]:
    """Start the program with pipes, and end it when the test has ended."""
    with subprocess.Popen(
        [*PROGRAM, *options],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
        cwd=PROJECT,
    ) as program:
        yield program
        program.kill()


@pytest.mark.parametrize(
    ("options", "enough"),
    [(ENDLESS, "\n"), (QUICK, "\n"), (QUICK, PROMPT)],
    ids=["training", "before the prompt", "at the prompt"],
)
def test_a_reader_that_has_enough_ends_the_program_quietly(
    options: tuple[str, ...], enough: str
) -> None:
    # As `| head -1`
    with started(*options) as program:
        assert program.stdin
        assert program.stdout
        assert program.stderr
        read = b""
        while not read.endswith(enough.encode()):
            read += program.stdout.read(1)
        program.stdout.close()
        threading.Timer(0.1, program.stdin.close).start()
        assert program.stderr.read() == b""
        assert program.wait() == 1


@pytest.mark.skipif(sys.platform != "linux", reason="needs /dev/full")
def test_a_full_disk_is_one_line() -> None:
    outcome = run("7\nq\n", *QUICK, command=in_shell('exec "$@" >/dev/full'))
    assert (outcome.status, outcome.errors) == (1, "[Errno 28] No space left on device\n")


@pytest.mark.skipif(sys.platform != "linux", reason="needs a limit on the memory")
def test_too_little_memory_is_one_line() -> None:
    limited = in_shell('ulimit -v 400000; exec "$@"')
    outcome = run("q\n", "--hidden-nodes", "100000", command=limited)
    assert outcome.status == 1
    assert (
        outcome.errors
        == "Out of memory: MNIST needs 300 MB, and a large --hidden-nodes needs more.\n"
    )


@pytest.mark.parametrize("place", ["", "t10k-labels-idx1-ubyte"])
def test_data_that_have_to_be_mended_are_one_line_and_not_the_sample(
    tmp_path: Path, place: str
) -> None:
    # Without a network: for a missing file alone the program would use the sample.
    wrong = tmp_path / "folder" / place
    wrong.parent.mkdir(exist_ok=True)
    wrong.write_text("mine")
    outcome = run("q\n", MNIST_DIR=str(tmp_path / "folder"))
    assert (outcome.status, outcome.output) == (1, "")
    assert re.fullmatch(rf".*{wrong}.*MNIST_DIR.*\n", outcome.errors)
    assert wrong.read_text() == "mine"


def test_the_sample_is_named_if_it_is_missing_too(tmp_path: Path) -> None:
    for name in ("import_data.py", "neural_network.py"):
        (tmp_path / name).write_bytes((PROJECT / name).read_bytes())
    program = (sys.executable, str(tmp_path / "neural_network.py"))
    outcome = run("q\n", command=program, MNIST_DIR="")
    assert (outcome.status, outcome.output) == (1, "")
    assert outcome.errors.splitlines()[-1] == (
        "The bundled sample lacks train-images-idx3-ubyte and train-labels-idx1-ubyte: "
        f"restore {tmp_path}/tests/mnist_sample from the repository"
    )


def test_requests_not_being_installed_is_one_line(tmp_path: Path) -> None:
    missing = "raise ModuleNotFoundError(name='requests')"
    (tmp_path / "requests.py").write_text(missing)
    outcome = run("q\n", PYTHONPATH=str(tmp_path), MNIST_DIR=str(tmp_path / "data"))
    assert outcome.status == 1
    assert outcome.errors.splitlines()[-1] == (
        "requests is missing: run pip install -r requirements.txt"
    )


def test_after_a_fault_a_running_interpreter_still_prints(tmp_path: Path) -> None:
    # As under `python -i`, or with `%run` in IPython
    (tmp_path / "file").touch()
    code = "import neural_network; print('It returns', neural_network.main())"
    outcome = run(command=(sys.executable, "-c", code), MNIST_DIR=str(tmp_path / "file"))
    assert (outcome.status, outcome.output) == (0, "It returns 1\n")
    assert len(outcome.errors.splitlines()) == 1


def test_without_readline_the_prompt_works(tmp_path: Path) -> None:
    # As on Windows
    (tmp_path / "readline.py").write_text("print('no readline')\nraise ImportError\n")
    with in_terminal(*QUICK, PYTHONPATH=str(tmp_path)) as terminal:
        terminal.wait_for("no readline")
        terminal.wait_for(PROMPT)
        assert ask(terminal, "7")[0] == "Training image 7:"
        quit_program(terminal)


# Screens


@pytest.fixture(scope="module")
def terminal_and_first_screen(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[Terminal, list[str]]]:
    """Start the program in a terminal of 256 colors and without a network, ready to be asked."""
    variables: dict[str, Any] = {
        "TERM": "xterm-256color",
        "MNIST_DIR": str(tmp_path_factory.mktemp("data")),
        "MNIST_MIRROR": "http://127.0.0.1:1/mnist/",
    }
    with in_terminal("--hidden-nodes", "16", **variables) as terminal:
        terminal.wait_for(PROMPT)
        yield terminal, terminal.rows()
        quit_program(terminal)


@pytest.fixture
def terminal(terminal_and_first_screen: tuple[Terminal, list[str]]) -> Terminal:
    """Return the terminal, in which other tests may have asked something already."""
    return terminal_and_first_screen[0]


@pytest.fixture
def first_screen(terminal_and_first_screen: tuple[Terminal, list[str]]) -> list[str]:
    """Return what its screen showed at the first prompt."""
    return terminal_and_first_screen[1]


def test_at_the_first_prompt_the_screen_still_says_that_this_is_the_sample_and_why(
    first_screen: list[str],
) -> None:
    announcement, screen = "".join(first_screen[:2]), "\n".join(first_screen)
    assert re.match("Downloading train-images-.* and train-labels-.* to /.*/data", announcement)
    for mirror in ("http://127.0.0.1:1/", *import_data.MIRRORS):
        assert re.search(rf"^{mirror.split('/')[2]}: .*refused$", screen, re.M)
    assert first_screen[-2:] == [
        "The data are the bundled sample, a tenth of MNIST.",
        PROMPT.rstrip(),
    ]
    assert len(first_screen) <= 24


def test_a_first_start_downloads_both_splits(full_mnist: Path, tmp_path: Path) -> None:
    names = import_data.SHA256
    files = {f"{x}.gz": gzip.compress(import_data.read_file(full_mnist, x), 1) for x in names}
    with (
        Mirror(files, send) as mirror,
        in_terminal(*QUICK, MNIST_DIR=str(tmp_path), MNIST_MIRROR=mirror.url) as terminal,
    ):
        terminal.wait_for("Training:")
        announcements = (
            f"Downloading {' and '.join(names)} to {tmp_path}"
            for names in import_data.SPLITS.values()
        )
        assert "".join(terminal.rows()).startswith("".join(announcements) + "Training")
        terminal.wait_for("q to quit: ")
        quit_program(terminal)


def test_training_draws_over_one_line_for_each_epoch(
    terminal: Terminal, first_screen: list[str]
) -> None:
    lines = re.split("[\r\n]+", terminal.output)
    live = [line for line in lines if re.fullmatch(rf" *1/{EPOCHS} +\d+% done", line)]
    assert live == sorted(live)
    assert len(live) > 5
    ended = [line for line in lines if ROW.fullmatch(line)]
    assert len(ended) == EPOCHS
    assert first_screen[-4 - EPOCHS : -4] == ended


def test_a_row_that_grows_is_drawn_once_for_each_percent(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(neural_network, "is_terminal", lambda _: True)
    report = neural_network.training_table(np.eye(10))
    for done in range(0, 999):
        report(1, 10, done, 999, np.eye(10))
    assert re.findall(r"\d+(?=%)", capsys.readouterr().out) == [str(n) for n in range(101)]


def read_grays(terminal: Terminal, last: str) -> Array:
    """Return the image that ends above a line, by the colors of the screen's cells."""
    below = max(n for n, row in enumerate(terminal.rows()) if row.startswith(last))
    image = np.empty((28, 28))
    for row in range(14):
        for column in range(28):
            cell = terminal.screen.buffer[below - 14 + row][column]
            assert cell.data == "▀"
            for half, color in enumerate((cell.fg, cell.bg)):
                red, green, blue = bytes.fromhex(color)  # "default" is no color
                assert red == green == blue
                image[2 * row + half, column] = (red - 8) / 10 / 23  # 24 grays: 8, 18, ... 238
    return image.ravel()


def read_color(terminal: Terminal, text: str) -> str:
    """Return the color of the last text of its kind on the screen."""
    y = max(number for number, row in enumerate(terminal.rows()) if text in row)
    (color,) = {
        terminal.screen.buffer[y][x].fg
        for match in re.finditer(re.escape(text), terminal.rows()[y])
        for x in range(*match.span())
    }
    return str(color)


def test_the_digit_is_drawn_in_grays_and_fits_on_the_screen(
    terminal: Terminal, sample: Sample
) -> None:
    title, *drawing, words = ask(terminal, "t 5")
    assert title == "Test image 5:"
    assert [row[:28] for row in drawing] == ["▀" * 28] * 14
    assert [round(20 * output) for output, _ in read_bars(drawing)] == [
        bar for _, bar in read_bars(drawing)
    ]
    assert ANSWER.fullmatch(words)
    assert np.abs(read_grays(terminal, "Prediction") - sample[2][5]).max() <= 0.5 / 23 + 1e-6
    beside = [terminal.screen.buffer[row][28] for row in range(24)]
    assert {(cell.fg, cell.bg) for cell in beside} == {("default", "default")}
    title, *drawing, words = ask(terminal, "w")
    assert title.startswith("Misclassified image 1 of ")


def test_the_highest_bar_and_wrong_have_a_color_each(terminal: Terminal) -> None:
    *drawing, words = ask(terminal, "w")[2:]
    outputs = [output for output, _ in read_bars(drawing)]
    assert words.endswith("  <-- WRONG")
    assert read_color(terminal, "  <-- WRONG") == "ff0000"
    assert read_color(terminal, "Prediction") == "default"
    top = len(terminal.rows()) - 2 - len(drawing)
    colors = [
        {terminal.screen.buffer[top + 2 + digit][38 + column].fg for column in range(length)}
        for digit, (_, length) in enumerate(read_bars(drawing))
    ]
    predicted = int(words.removeprefix("Prediction: ")[0])
    assert outputs[predicted] == max(outputs)
    assert colors[predicted] == {"ffaf00"}
    assert set().union(*colors[:predicted], *colors[predicted + 1 :]) <= {"default"}


def test_a_hidden_node_is_drawn_in_grays(terminal: Terminal, sample: Sample) -> None:
    network = neural_network.train(*sample[:2], hidden_nodes=16, seed=0)
    title, key, *rows = ask(terminal, "n 3")
    assert title.startswith("Hidden node 3, ")
    assert key == "Ink lowers its output [▀▀▀▀▀] ink raises its output"
    incoming = network.weights_input_to_hidden[:, 3]
    wanted = 0.5 + 0.5 * incoming / np.percentile(np.abs(incoming), 98)
    drawn = read_grays(terminal, "Enter")
    assert np.abs(drawn - wanted.clip(0, 1)).max() <= 0.5 / 23 + 1e-6
    numbers, _ = zip(*read_weights(rows), strict=True)
    assert numbers == pytest.approx(network.weights_hidden_to_output[3], abs=0.0051)


def test_arrow_up_brings_back_the_last_line(terminal: Terminal) -> None:
    ask(terminal, "t 17")
    terminal.press("\x1b[A")
    terminal.wait_for("t 17")
    assert terminal.rows()[-1] == f"{PROMPT}t 17"
    terminal.press("\r")
    terminal.wait_for(PROMPT)


@pytest.mark.parametrize(
    ("variables", "grays"),
    [
        ({"TERM": "xterm", "COLORTERM": "truecolor"}, True),
        ({"TERM": "xterm"}, False),
        ({"TERM": "xterm-256color", "NO_COLOR": "1"}, False),
        ({"TERM": "dumb", "COLORTERM": "truecolor"}, False),
        ({"TERM": "xterm-256color", "PYTHONIOENCODING": "ascii"}, False),
    ],
)
def test_a_terminal_shows_what_it_can(
    sample: Sample, tmp_path: Path, variables: dict[str, Any], grays: bool
) -> None:
    with in_terminal(*QUICK, MNIST_DIR=str(tmp_path), **variables) as terminal:
        terminal.wait_for(PROMPT)
        if variables["TERM"] == "dumb":
            assert terminal.output.replace("\r\n", "").isprintable()
        assert ask(terminal, "w")[-1].endswith("<-- WRONG")
        _, *lines = ask(terminal, "7")
        if grays:
            assert np.abs(read_grays(terminal, "Prediction") - sample[0][7]).max() <= 0.0218
        else:
            check_answer(lines, sample[0][7], sample[1][7])
            assert "\x1b[38" not in terminal.output
        quit_program(terminal)


@pytest.mark.parametrize(
    ("encoding", "characters"), [("utf-8", "░▒▓█"), ("cp1252", ".:-=+*#%@"), ("ascii", ".:-=+*#%@")]
)
def test_a_drawing_keeps_to_the_characters_of_the_encoding(
    sample: Sample, encoding: str, characters: str
) -> None:
    outcome = run("7\n", *QUICK, encoding=encoding)
    assert (outcome.status, outcome.errors) == (0, "")
    lines = outcome.output.split(PROMPT)[1].splitlines()[2:]
    check_answer(lines, sample[0][7], sample[1][7])
    assert set("".join(line[:28] for line in lines[:-1])) == {" ", *characters}


def test_in_a_terminal_of_60_columns_nothing_wraps(sample: Sample) -> None:
    with in_terminal(*QUICK, columns=60) as terminal:
        terminal.wait_for(PROMPT)
        for question in ("n", "?", "w", "7"):
            terminal.press(f"{question}\r")
            terminal.wait_for(PROMPT)
        lines = re.split("\r?\n|\r", terminal.output)
        assert max(map(len, lines)) <= 60
        check_answer(lines[-16:-1], sample[0][7], sample[1][7], longest_bar=20)
        quit_program(terminal)


@pytest.mark.parametrize("command", [PROGRAM, in_shell('"$@" | cat')], ids=["alone", "in a pipe"])
def test_a_download_has_one_live_line_in_a_narrow_terminal(
    tmp_path: Path, command: tuple[str, ...]
) -> None:
    settings: dict[str, Any] = {"command": command, "columns": 30, "MNIST_DIR": str(tmp_path)}
    with (
        Mirror({"train-images-idx3-ubyte.gz": bytes(2_000_000)}, trickle(20_000, 0.05)) as mirror,
        in_terminal(MNIST_MIRROR=mirror.url, **settings) as terminal,
    ):
        for _ in range(4):
            terminal.wait_for(" kB of train-images")
        assert sum("kB" in row for row in terminal.rows()) == 1


def test_streams_that_only_claim_to_be_terminals_get_plain_lines() -> None:
    # As those of IDLE do, which also lack `reconfigure`.
    claiming = (
        "import io, sys\n"
        "class Claiming(io.StringIO):\n"
        "    encoding = 'utf-8'\n"
        "    isatty = lambda self: True\n"
        "sys.stdin, sys.stdout, sys.stderr = Claiming('7\\nq\\n'), Claiming(), Claiming()\n"
        "import neural_network\n"
        f"sys.argv[1:] = {[*QUICK]}\n"
        "status = neural_network.main()\n"
        "print(sys.stdout.getvalue(), file=sys.__stdout__)\n"
        "print(sys.stderr.getvalue(), file=sys.__stderr__)\n"
        "sys.exit(status)\n"
    )
    outcome = run(command=(sys.executable, "-c", claiming), TERM="xterm-256color", MNIST_DIR="")
    assert outcome.status == 0
    assert "Prediction: " in outcome.output
    assert (outcome.output + outcome.errors).replace("\n", "").isprintable()  # no \r, no colors
