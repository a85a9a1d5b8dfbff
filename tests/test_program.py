"""Tests of `python neural_network.py` as a person runs it, through pipes and in a terminal.

All runs are on the bundled sample, mostly with a network that is quickly trained and often wrong.
"""

import contextlib
import gzip
import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray
from terminal import PATIENCE_SECONDS, Terminal

import neural_network

PROJECT = Path(__file__).resolve().parent.parent
SAMPLE = PROJECT / "tests" / "mnist_sample"
# `python neural_network.py`, except that it knows no mirrors.
PROGRAM = (
    sys.executable,
    "-c",
    "import import_data, runpy\n"
    "import_data.MIRRORS = ()\n"
    "runpy.run_path('neural_network.py', run_name='__main__')",
)
# Coverage hangs now and then if a program is interrupted in the middle of computing.
UNMEASURED_PROGRAM = ("env", "-u", "COVERAGE_PROCESS_CONFIG", *PROGRAM)
REAL_PROGRAM = (sys.executable, "neural_network.py")
QUICK = ("--epochs", "1", "--hidden-nodes", "16")
ENDLESS = ("--epochs", "100000", "--hidden-nodes", "16")

PROMPT = "Enter an index (0 - 5999), or 'q' to quit: "
EXPLANATION = "Please enter 0 - 5999, t 0 - t 999, w, q, or ? for what these do."
NOTE = re.compile(  # on stderr, because the full MNIST is never there
    r"The full MNIST is not in the cache folder.*\n(?:.*\n)*?"
    r"For the full set, start again .*\n"
)
EPOCH = re.compile(
    r"Epoch +(?P<epoch>\d+)/(?P<epochs>\d+)  error (?P<error>\d\.\d{4})"
    r"  accuracy +(?P<accuracy>\d+\.\d\d)%  \d+\.\d s  +(?P<images>[\d,]+) images"
)
ANSWER = re.compile(
    r"Prediction: (?P<prediction>\d) \(output (?P<output>[01]\.\d\d)\), label: (?P<label>\d)"
    r"(?P<verdict>, right|  <-- WRONG)"
    r"(, second choice: (?P<second>\d) \(output (?P<second_output>[01]\.\d\d)\))?"
)
THREAD_COUNTS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="needs what only Linux has")


class Outcome(NamedTuple):
    """How a run ended, what it printed, and what it complained about besides the sample."""

    status: int
    output: str
    complaints: str


def environment(**changes: str) -> dict[str, str]:
    """Return an environment that is the same wherever the tests run, with some changes."""
    own = ("TERM", "COLORTERM", "NO_COLOR", "COLUMNS", "LINES", "MNIST_MIRROR", *THREAD_COUNTS)
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in own and not name.startswith("PYTHON")
    }
    fixed = {
        "LC_ALL": "C.UTF-8",
        "INPUTRC": os.devnull,
        "NO_PROXY": "*",
        "MNIST_DIR": "/nonexistent",
        "OMP_NUM_THREADS": "1",
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
        env=environment(**changes),
        cwd=PROJECT,
        timeout=PATIENCE_SECONDS,
    )
    errors = finished.stderr.decode(encoding)
    return Outcome(finished.returncode, finished.stdout.decode(encoding), NOTE.sub("", errors, 1))


def in_shell(words: str, program: Sequence[str] = PROGRAM) -> tuple[str, ...]:
    """Return the command for the program with something that only a shell can do to it."""
    return ("sh", "-c", words, "sh", *program)


@contextlib.contextmanager
def started(
    *options: str, command: Sequence[str] = PROGRAM, **changes: str
) -> Iterator["subprocess.Popen[bytes]"]:
    """Start the program with pipes, and end it when the test has ended, or hangs."""
    with subprocess.Popen(
        [*command, *options],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(**changes),
        cwd=PROJECT,
    ) as program:
        alarm = threading.Timer(PATIENCE_SECONDS, program.kill)
        alarm.start()
        try:
            yield program
        finally:
            alarm.cancel()
            program.kill()


def read_until(program: "subprocess.Popen[bytes]", text: str) -> str:
    """Return what the program prints, until it has printed `text`."""
    assert program.stdout is not None
    output = b""
    while not output.decode(errors="ignore").endswith(text):
        byte = program.stdout.read(1)
        assert byte, f"the program ended without {text!r}: {output!r}"
        output += byte
    return output.decode()


def end(program: "subprocess.Popen[bytes]", typed: bytes = b"") -> Outcome:
    """Type a last line, and return how the program ends."""
    output, errors = program.communicate(typed)
    return Outcome(program.returncode, output.decode(), NOTE.sub("", errors.decode(), 1))


def in_terminal(*options: str, command: Sequence[str] = PROGRAM, **changes: str) -> Terminal:
    """Start the program in a terminal of 80 x 24 characters."""
    encoding = changes.get("PYTHONIOENCODING", "utf-8")
    return Terminal([*command, *options], environment(**changes), PROJECT, encoding=encoding)


def in_narrow_terminal(*options: str) -> Terminal:
    """Start the program in a terminal of 40 x 24 characters."""
    return Terminal([*PROGRAM, *options], environment(TERM="xterm"), PROJECT, columns=40)


def ask(terminal: Terminal, question: str) -> list[str]:
    """Ask something at the prompt of a terminal, and return the answer, line by line."""
    terminal.press(question + "\r")
    terminal.wait_for(PROMPT)
    rows = terminal.rows()
    assert rows[-1] == PROMPT.rstrip()
    asked = max(number for number, row in enumerate(rows) if row == (PROMPT + question).rstrip())
    return rows[asked + 1 : -1]


def quit_program(terminal: Terminal) -> None:
    """Quit at the prompt of a terminal."""
    terminal.press("q\r")
    assert terminal.finish() == 0
    assert terminal.screen.cursor.x == 0


def read_images(split: str) -> NDArray[np.float64]:
    """Read the images of the bundled sample, each 28 x 28, from 0 to 1."""
    content = gzip.decompress((SAMPLE / f"{split}-images-idx3-ubyte.gz").read_bytes())
    return np.frombuffer(content, np.uint8, offset=16).reshape(-1, 28, 28) / 255


def read_labels(split: str) -> list[int]:
    """Read the labels of the bundled sample."""
    return list(gzip.decompress((SAMPLE / f"{split}-labels-idx1-ubyte.gz").read_bytes())[8:])


IMAGES = {split: read_images(split) for split in ("train", "t10k")}
LABELS = {split: read_labels(split) for split in ("train", "t10k")}


def looks_like(lines: Sequence[str], image: NDArray[np.float64]) -> bool:
    """Whether 14 lines of shading characters are darkest where the image is brightest."""
    characters = set("".join(lines))
    shades = " ░▒▓█" if characters <= set(" ░▒▓█") else " .:-=+*#%@"
    assert len(lines) == 14
    assert characters <= set(shades)
    drawn = [[shades.index(character) for character in line.ljust(28)] for line in lines]
    wanted = image.reshape(14, 2, 28).mean(axis=1)
    return bool(np.corrcoef(np.ravel(drawn), wanted.ravel())[0, 1] > 0.98)


def check_answer(lines: Sequence[str], split: str, index: int) -> dict[str, str]:
    """Check that an answer shows and names an image, and return what it says about it."""
    *drawing, words = lines
    assert looks_like(drawing, IMAGES[split][index])
    answer = ANSWER.fullmatch(words)
    assert answer
    assert int(answer["label"]) == LABELS[split][index]
    assert (answer["verdict"] == ", right") == (answer["prediction"] == answer["label"])
    return answer.groupdict()


# The main job


@pytest.fixture(scope="module")
def session() -> Outcome:
    """Train three epochs, ask for one image and quit."""
    return run("7\nq\n", "--epochs", "3", "--hidden-nodes", "16")


def test_in_a_pipe_there_are_only_plain_lines(session: Outcome) -> None:
    assert session.status == 0
    assert session.complaints == ""
    assert session.output.endswith("\n")
    unprintable = {character for character in session.output if not character.isprintable()}
    assert unprintable == {"\n"}


def test_each_epoch_has_a_line_with_its_error_and_accuracy(session: Outcome) -> None:
    title, *lines = session.output.splitlines()
    assert title == "Training 784-16-10 on 6,000 images, 3 epochs:"
    epochs = [epoch for epoch in map(EPOCH.fullmatch, lines[:3]) if epoch]
    assert [(epoch["epoch"], epoch["epochs"]) for epoch in epochs] == [(n, "3") for n in "123"]
    images = [int(epoch["images"].replace(",", "")) for epoch in epochs]
    errors = [float(epoch["error"]) for epoch in epochs]
    accuracies = [float(epoch["accuracy"]) for epoch in epochs]
    assert images[0] == 6000
    assert images == sorted(images, reverse=True)
    assert errors == sorted(errors, reverse=True)
    assert accuracies == sorted(accuracies)
    assert re.fullmatch(r"Trained in \d+\.\d s\.", lines[3])


def test_the_test_accuracy_agrees_with_the_number_of_wrong_ones(session: Outcome) -> None:
    *_, accuracy, wrong = session.output.split(PROMPT)[0].splitlines()
    percent = re.fullmatch(r"Test accuracy: (\d\d\.\d\d)%", accuracy)
    number = re.fullmatch(r"It misreads (\d+) of the 1,000 test images: .*", wrong)
    assert percent
    assert number
    assert float(percent[1]) == pytest.approx(100 - int(number[1]) / 10, abs=0.005)


def test_an_index_is_answered_with_the_image_and_the_prediction(session: Outcome) -> None:
    _, answer, after_quitting = session.output.split(PROMPT)
    check_answer(answer.splitlines()[1:], "train", 7)
    assert after_quitting.strip() == ""


def test_with_all_settings_as_they_are_the_sample_is_learned_well() -> None:
    status, output, _ = run("q\n")
    assert status == 0
    title, first, *_ = output.splitlines()
    assert title == "Training 784-288-10 on 6,000 images, 20 epochs:"
    assert first.startswith("Epoch  1/20  ")
    accuracy = re.search(r"^Test accuracy: (.*)%$", output, re.MULTILINE)
    assert accuracy
    assert float(accuracy[1]) > 94


@pytest.mark.parametrize("typed", ["q", "Q", " q "])
def test_q_quits(typed: str) -> None:
    status, output, complaints = run(f"{typed}\n7\n", *QUICK)
    assert (status, complaints) == (0, "")
    assert output.count(PROMPT) == 1
    assert "Prediction" not in output


def test_the_end_of_input_quits() -> None:
    status, output, complaints = run("", *QUICK)
    assert (status, complaints) == (0, "")
    assert output.endswith(f"{PROMPT}\n")


def test_the_end_of_input_in_mid_line_answers_the_line_and_quits() -> None:
    status, output, complaints = run("4", *QUICK)
    assert (status, complaints) == (0, "")
    _, answer, after_it = output.split(PROMPT)
    check_answer(answer.splitlines()[1:], "train", 4)
    assert after_it == "\n"


def test_the_end_of_input_during_training_quits_after_it() -> None:
    with started("--epochs", "40", "--hidden-nodes", "16") as program:
        read_until(program, "Epoch  1/40")
        status, output, complaints = end(program)
    assert (status, complaints) == (0, "")
    assert "Epoch 40/40" in output
    assert output.endswith(f"{PROMPT}\n")


def test_one_epoch_is_not_called_epochs() -> None:
    assert run("", *QUICK).output.startswith("Training 784-16-10 on 6,000 images, 1 epoch:\n")


def test_help_explains_the_options() -> None:
    status, output, complaints = run("", "--help", command=REAL_PROGRAM)
    assert (status, complaints) == (0, "")
    words = " ".join(output.split())
    for explanation in (
        "--epochs N number of epochs to train for (default: 8; 20 on the bundled sample)",
        "--hidden-nodes N the size of the hidden layer (default: 288)",
        "--seed N another seed gives another network (default: 0)",
    ):
        assert explanation in words
    assert {"MNIST_DIR", "MNIST_MIRROR"} <= set(re.findall("[A-Z_]{4,}", words))
    assert max(map(len, output.splitlines())) <= 80


@pytest.mark.parametrize("bad", ["-1", "x", "1.5", "", "²", "9" * 10_000], ids=lambda x: x[:5])
@pytest.mark.parametrize("option", ["--epochs", "--hidden-nodes", "--seed"])
def test_a_bad_value_of_an_option_is_explained_in_a_line(option: str, bad: str) -> None:
    check_refused(option, bad)


@pytest.mark.parametrize(
    ("option", "bad"),
    [
        ("--epochs", "0"),
        ("--epochs", "9" * 400),
        ("--hidden-nodes", "0"),
        ("--hidden-nodes", "100001"),
        ("--hidden-nodes", "9" * 400),
    ],
    ids=lambda value: value[:10],
)
def test_a_value_out_of_bounds_is_explained_in_a_line(option: str, bad: str) -> None:
    check_refused(option, bad)


def check_refused(option: str, bad: str) -> None:
    """Check that a value is refused in one line, beside the usage."""
    status, output, complaints = run("q\n", f"{option}={bad}")
    assert (status, output) == (2, "")
    usage, explanation = complaints.splitlines()
    assert usage == ("usage: neural_network.py [-h] [--epochs N] [--hidden-nodes N] [--seed N]")
    assert explanation.startswith(f"neural_network.py: error: argument {option}: ")


@pytest.mark.parametrize("seed", ["0", "99999999999", "9" * 400])
def test_any_whole_number_is_a_seed(seed: str) -> None:
    assert run("q\n", *QUICK, "--seed", seed).status == 0


@pytest.mark.parametrize("options", [("--epochs",), ("--nodes", "5"), ("7",)])
def test_options_that_do_not_exist_are_explained_in_a_line(options: tuple[str, ...]) -> None:
    status, output, complaints = run("", *options, command=REAL_PROGRAM)
    assert (status, output) == (2, "")
    usage, explanation = complaints.splitlines()
    assert usage.startswith("usage: neural_network.py")
    assert explanation.startswith("neural_network.py: error: ")
    assert options[0] in explanation


def test_the_same_seed_gives_the_same_output_and_another_seed_another_one() -> None:
    def all_but_times(*options: str) -> str:
        output = run("7\nt 7\nw\nw\nq\n", *QUICK, *options).output
        return re.sub(r"\d+\.\d s\b", "", output)

    without, with_0, with_1 = (
        all_but_times(),
        all_but_times("--seed", "0"),
        all_but_times("--seed=1"),
    )
    assert without == with_0
    assert with_0 != with_1


# The prompt

ANSWERED = {
    "7": ("train", 7),
    " 7 ": ("train", 7),
    "\t7\t": ("train", 7),
    "7\r": ("train", 7),  # the end of a line on Windows
    "007": ("train", 7),
    "0": ("train", 0),
    "0" * 10_000: ("train", 0),
    "5999": ("train", 5999),
    "t 5": ("t10k", 5),
    "t 0": ("t10k", 0),
    "t 999": ("t10k", 999),
    "t999": ("t10k", 999),
    "T 3": ("t10k", 3),
    "t  003": ("t10k", 3),
}
EXPLAINED: tuple[str | bytes, ...] = (
    "-1",
    "6000",
    "60000",
    "1e3",
    "3.7",
    "0x10",
    "1_000",
    "+5",
    "4 2",
    "\uff14\uff12",  # full-width digits
    "\u0664\u0662",  # Arabic digits
    "\u00b2",
    "9" * 10_000,
    "0" * 10_000 + "6000",
    "\x01\x02\x1b[A\x7f",
    "\0",
    "7\0",
    b"\xff\xfe7",
    b"\xc3",
    "x" * 2**20,
    "9" * 2**20,
    "",
    "   ",
    "t",
    "t 1000",
    "t-1",
    "t t 1",
    "tt1",
    "5t",
    "w w",
    "??",
    "q q",
    "quit",
)


@pytest.fixture(scope="module")
def dialogue() -> dict[str | bytes, tuple[str, str]]:
    """Ask everything in one run; return for each question its answer, and that to a 7 after it."""
    questions: list[str | bytes] = [*ANSWERED, *EXPLAINED]
    lines = [line if isinstance(line, bytes) else line.encode() for line in questions]
    status, output, complaints = run(b"".join(line + b"\n7\n" for line in lines), *QUICK)
    assert (status, complaints) == (0, "")
    _, *answers, after_the_end = output.split(PROMPT)
    assert after_the_end == "\n"
    return dict(zip(questions, zip(answers[::2], answers[1::2], strict=True), strict=True))


@pytest.mark.parametrize("question", ANSWERED, ids=lambda question: repr(question)[:20])
def test_an_index_is_answered(dialogue: dict[str | bytes, tuple[str, str]], question: str) -> None:
    answer, answer_to_7 = dialogue[question]
    check_answer(answer.splitlines()[1:], *ANSWERED[question])
    check_answer(answer_to_7.splitlines()[1:], "train", 7)


@pytest.mark.parametrize("question", EXPLAINED, ids=lambda question: repr(question)[:20])
def test_anything_else_is_explained_in_a_line(
    dialogue: dict[str | bytes, tuple[str, str]], question: str | bytes
) -> None:
    answer, answer_to_7 = dialogue[question]
    assert answer == f"\n{EXPLANATION}\n"
    check_answer(answer_to_7.splitlines()[1:], "train", 7)


def test_w_shows_each_wrong_test_image_once_and_then_begins_again() -> None:
    questions = [f"t {index}" for index in range(1000)] + ["w"] * 1001
    status, output, complaints = run("\n".join(questions), *QUICK)
    assert (status, complaints) == (0, "")
    training, *answers, _ = output.split(PROMPT)
    assert len(answers) == len(questions)
    about_all = [check_answer(answers[i].splitlines()[1:], "t10k", i) for i in range(1000)]
    wrong = [i for i, answer in enumerate(about_all) if answer["verdict"] != ", right"]
    assert f"\nIt misreads {len(wrong)} of the 1,000 " in training
    assert f"\nTest accuracy: {100 - len(wrong) / 10:.2f}%\n" in training

    for count, answer in enumerate(answers[1000:]):
        place = count % len(wrong)
        _, title, *lines = answer.splitlines()
        index = wrong[place]
        assert title == f"Mistake {place + 1} of {len(wrong)}, test image {index}:"
        about_it = check_answer(lines, "t10k", index)
        assert about_it == about_all[index]
        assert about_it["prediction"] != about_it["label"]


def test_w_says_so_if_the_network_gets_nothing_wrong(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("w\nw\nq\n"))
    nothing = np.zeros((0, 784), np.float32), np.zeros((0, 10), np.float32)
    neural_network.ask(nothing, nothing, [], sure_of({}))
    answers = re.split("Enter an index .* to quit: ", capsys.readouterr().out)
    assert answers == ["", *["\nThere is no test image that the network gets wrong.\n"] * 2, "\n"]


def test_the_question_mark_lists_what_the_prompt_takes() -> None:
    _, output, _ = run("?\n", *QUICK)
    listed = output.split(PROMPT)[1]
    assert re.findall(r"^  (.+?)   +\S.*$", listed, re.MULTILINE) == ["42", "t 42", "w", "?", "q"]
    assert max(map(len, listed.splitlines())) <= 80


def sure_of(outputs: dict[int, float]) -> neural_network.Network:
    """Return a network that takes every image for these digits, with these outputs."""
    biases_output = np.full(10, -10.0, np.float32)
    for digit, output in outputs.items():
        biases_output[digit] = np.log(output / (1 - output))
    zeros = np.zeros((784, 1), np.float32), np.zeros((1, 10), np.float32), np.zeros(1, np.float32)
    return *zeros, biases_output


@pytest.mark.parametrize(
    ("outputs", "label", "words"),
    [
        ({3: 0.91, 8: 0.2}, 3, "Prediction: 3 (output 0.91), label: 3, right"),
        (
            {3: 0.89, 8: 0.2},
            3,
            "Prediction: 3 (output 0.89), label: 3, right, second choice: 8 (output 0.20)",
        ),
        (
            {3: 0.97, 8: 0.2},
            8,
            "Prediction: 3 (output 0.97), label: 8  <-- WRONG, second choice: 8 (output 0.20)",
        ),
        (
            {0: 0.3, 9: 0.4},
            5,
            "Prediction: 9 (output 0.40), label: 5  <-- WRONG, second choice: 0 (output 0.30)",
        ),
    ],
    ids=["sure and right", "unsure", "sure and wrong", "unsure and wrong"],
)
def test_the_second_choice_is_shown_if_the_first_is_wrong_or_unsure(
    capsys: pytest.CaptureFixture[str], outputs: dict[int, float], label: int, words: str
) -> None:
    image = IMAGES["train"][7].ravel().astype(np.float32)
    neural_network.show(image, np.eye(10, dtype=np.float32)[label], sure_of(outputs))
    *drawing, answer = capsys.readouterr().out.splitlines()
    assert looks_like(drawing, IMAGES["train"][7])
    assert answer == words


# Threads, and being imported


@pytest.fixture
def report_at_exit(tmp_path: Path) -> Callable[..., dict[str, str]]:
    """Return a function that runs the program and returns its environment and threads at exit."""
    report = tmp_path / "report"
    (tmp_path / "sitecustomize.py").write_text(
        "import atexit, json, os, pathlib\n"
        "def report():\n"
        "    tasks = pathlib.Path('/proc/self/task')\n"
        "    threads = len(list(tasks.iterdir())) if tasks.exists() else None\n"
        f"    pathlib.Path({str(report)!r}).write_text(json.dumps([dict(os.environ), threads]))\n"
        "atexit.register(report)\n"
    )

    def run_and_report(**changes: str) -> dict[str, str]:
        variables = environment(PYTHONPATH=str(tmp_path))
        del variables["OMP_NUM_THREADS"]
        subprocess.run(
            [*REAL_PROGRAM, "--help"],
            env=variables | changes,
            cwd=PROJECT,
            stdout=subprocess.DEVNULL,
            check=True,
            timeout=PATIENCE_SECONDS,
        )
        at_exit, threads = json.loads(report.read_text())
        return {name: at_exit[name] for name in THREAD_COUNTS if name in at_exit} | {
            "threads": threads
        }

    return run_and_report


@linux_only
def test_the_program_computes_in_one_thread(
    report_at_exit: Callable[..., dict[str, str]],
) -> None:
    assert report_at_exit() == dict.fromkeys(THREAD_COUNTS, "1") | {"threads": 1}


@pytest.mark.parametrize("name", THREAD_COUNTS)
def test_a_number_of_threads_that_the_user_has_set_is_left_alone(
    report_at_exit: Callable[..., dict[str, str]], name: str
) -> None:
    at_exit = report_at_exit(**{name: "2"})
    del at_exit["threads"]
    assert at_exit == {name: "2"}


def test_to_import_the_module_changes_nothing_and_prints_nothing() -> None:
    check = (
        "import os, signal\n"
        "before = dict(os.environ), signal.getsignal(signal.SIGINT)\n"
        "import neural_network\n"
        "assert (dict(os.environ), signal.getsignal(signal.SIGINT)) == before\n"
    )
    assert run("", command=[sys.executable, "-W", "error", "-c", check]) == (0, "", "")


# Interruptions


def press_control_c(terminal: Terminal) -> None:
    """Interrupt the program as a person does."""
    terminal.press("\x03")


def send_sigint(terminal: Terminal) -> None:
    """Interrupt the program as another program does."""
    terminal.send_signal(signal.SIGINT)


in_both_ways = pytest.mark.parametrize("interrupt", [press_control_c, send_sigint])


def check_interrupted(terminal: Terminal) -> None:
    """Check that the program ends at once, without many words, and leaves a clean line."""
    assert terminal.finish() == 130
    assert "Traceback" not in terminal.output
    assert "Exception" not in terminal.output
    assert terminal.screen.cursor.x == 0


@contextlib.contextmanager
def stalling_mirror() -> Iterator[tuple[str, Callable[[], socket.socket]]]:
    """Be a mirror that sends half a file: its address, and a function that sends the half."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        server.settimeout(PATIENCE_SECONDS)

        def send_half() -> socket.socket:
            connection = stack.enter_context(server.accept()[0])
            connection.settimeout(PATIENCE_SECONDS)
            assert connection.recv(65_536).startswith(b"GET /train-images-idx3-ubyte.gz ")
            half = b"HTTP/1.1 200 OK\r\nContent-Length: 2000000\r\n\r\n" + bytes(1_000_000)
            connection.sendall(half)
            return connection

        yield f"http://127.0.0.1:{server.getsockname()[1]}/", send_half


@in_both_ways
def test_an_interruption_of_the_download_leaves_nothing_behind(
    interrupt: Callable[[Terminal], None], tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    with (
        stalling_mirror() as (address, send_half),
        in_terminal(
            command=UNMEASURED_PROGRAM, MNIST_DIR=str(cache), MNIST_MIRROR=address, TERM="xterm"
        ) as terminal,
    ):
        send_half()
        terminal.wait_for("1.0 MB")
        interrupt(terminal)
        check_interrupted(terminal)
    assert list(cache.iterdir()) == []


def test_an_interruption_while_the_mirror_is_silent_ends_the_program(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        started(
            command=UNMEASURED_PROGRAM,
            MNIST_DIR=str(cache),
            MNIST_MIRROR=f"http://127.0.0.1:{server.getsockname()[1]}/",
        ) as program,
    ):
        server.settimeout(PATIENCE_SECONDS)
        connection, _ = server.accept()
        with connection:
            program.send_signal(signal.SIGINT)
            status, output, complaints = end(program)
    assert (status, output, complaints.strip()) == (130, "", "")
    assert not cache.exists()


@in_both_ways
def test_an_interruption_of_the_training_ends_the_program(
    interrupt: Callable[[Terminal], None],
) -> None:
    with in_terminal(*ENDLESS, command=UNMEASURED_PROGRAM, TERM="xterm") as terminal:
        terminal.wait_for("Epoch      2/100000")
        interrupt(terminal)
        check_interrupted(terminal)


@in_both_ways
@pytest.mark.parametrize("typed", ["", "42"], ids=["empty line", "in mid-line"])
def test_an_interruption_at_the_prompt_ends_the_program(
    interrupt: Callable[[Terminal], None], typed: str
) -> None:
    with in_terminal(*QUICK, TERM="xterm") as terminal:
        terminal.wait_for(PROMPT)
        terminal.press(typed)
        terminal.wait_for(typed)
        interrupt(terminal)
        check_interrupted(terminal)


def test_an_interruption_while_nobody_reads_the_drawings_ends_the_program(
    tmp_path: Path,
) -> None:
    # As in `... | less`: the pipe is full long before all is answered, and the program waits.
    questions = tmp_path / "questions"
    questions.write_text("7\n" * 2000)
    command = in_shell(f'exec "$@" <{questions}', UNMEASURED_PROGRAM)
    with started(*QUICK, command=command) as program:
        assert program.stderr is not None
        read_until(program, "Prediction")
        time.sleep(0.5)  # until the pipe is full
        program.send_signal(signal.SIGINT)
        assert program.wait(timeout=10) == 130
        assert NOTE.sub("", program.stderr.read().decode(), 1).strip() == ""


def test_an_interruption_in_a_pipe_ends_the_program() -> None:
    with started(*ENDLESS, command=UNMEASURED_PROGRAM) as program:
        read_until(program, "Epoch      1/100000")
        program.send_signal(signal.SIGINT)
        status, _, complaints = end(program)
    assert (status, complaints.strip()) == (130, "")


def test_an_interruption_while_numpy_is_imported_ends_the_program(tmp_path: Path) -> None:
    (tmp_path / "numpy.py").write_text(
        "import os, signal, time\n"
        "print('importing', flush=True)\n"
        "os.kill(os.getpid(), signal.SIGINT)\n"
        "time.sleep(60)\n"
    )
    outcome = run("", command=REAL_PROGRAM, PYTHONPATH=str(tmp_path))
    assert outcome == (130, "importing\n", "")


def test_a_missing_numpy_is_explained_in_a_line() -> None:
    without = "import importlib.util; importlib.util.find_spec = lambda name: None\n"
    python, option, program = PROGRAM
    status, output, complaints = run("", command=(python, option, without + program))
    assert (status, output) == (1, "")
    assert complaints == "NumPy is not installed here: README.md says how to, under Run.\n"


def test_an_interruption_while_readline_is_imported_ends_the_program(tmp_path: Path) -> None:
    (tmp_path / "readline.py").write_text(
        "import os, signal\nprint('importing')\nos.kill(os.getpid(), signal.SIGINT)\n"
    )
    with in_terminal(*ENDLESS, PYTHONPATH=str(tmp_path)) as terminal:
        terminal.wait_for("importing")
        check_interrupted(terminal)


def test_a_second_interruption_while_the_first_ends_the_program_changes_nothing() -> None:
    impatient = (
        "import io, os, signal, sys\n"
        "class Stream(io.TextIOWrapper):\n"
        "    def write(self, text):\n"
        "        os.kill(os.getpid(), signal.SIGINT)\n"
        "        return super().write(text)\n"
        "sys.stderr = Stream(sys.stderr.buffer, line_buffering=True)\n"
    )
    python, option, program = PROGRAM
    status, _, complaints = run("", *QUICK, command=(python, option, impatient + program))
    assert "Traceback" not in complaints
    assert status == 130


def test_a_burst_of_interruptions_ends_the_program_as_one_does() -> None:
    with started(*ENDLESS, command=UNMEASURED_PROGRAM) as program:
        read_until(program, "Epoch      1/100000")
        for _ in range(50):
            program.send_signal(signal.SIGINT)
            time.sleep(0.0001)  # sent all at once, they would count as one
        status, _, complaints = end(program)
    assert (status, complaints.strip()) == (130, "")


def test_an_interruption_after_q_changes_nothing() -> None:
    late = "import atexit, os, signal; atexit.register(os.kill, os.getpid(), signal.SIGINT)\n"
    python, option, program = PROGRAM
    status, _, complaints = run("q\n", *QUICK, command=(python, option, late + program))
    assert (status, complaints) == (0, "")


def test_a_program_that_was_started_to_ignore_interruptions_does() -> None:
    # As a script starts what it ends with `&`: Ctrl-C is for the one in front.
    options = ("--epochs", "40", "--hidden-nodes", "16")
    with started(*options, command=in_shell('trap "" INT; exec "$@"')) as program:
        read_until(program, "Epoch  1/40")
        program.send_signal(signal.SIGINT)
        status, output, complaints = end(program, b"7\nq\n")
    assert (status, complaints) == (0, "")
    assert "Prediction" in output


# Standard input and output that are not there


def test_a_reader_that_has_enough_during_training_ends_the_program_quietly() -> None:
    with started(*ENDLESS) as program:
        assert program.stdout is not None
        assert program.stderr is not None
        program.stdout.readline()
        program.stdout.close()
        complaints = NOTE.sub("", program.stderr.read().decode(), 1)
        assert (program.wait(), complaints) == (1, "")


@pytest.mark.parametrize("typed", [b"7\n", b"w\n", b"q\n"])
def test_a_reader_that_has_enough_at_the_prompt_ends_the_program_quietly(typed: bytes) -> None:
    with started(*QUICK) as program:
        assert program.stdin is not None
        assert program.stdout is not None
        assert program.stderr is not None
        read_until(program, PROMPT)
        program.stdout.close()
        program.stdin.write(typed)
        program.stdin.flush()
        complaints = NOTE.sub("", program.stderr.read().decode(), 1)
        assert (program.wait(), complaints) == (1, "")


def test_a_reader_that_has_enough_of_the_help_is_not_told_of_it() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    finished = subprocess.run(
        [*REAL_PROGRAM, "--help"],
        stdout=writing,
        stderr=subprocess.PIPE,
        env=environment(),
        cwd=PROJECT,
        timeout=PATIENCE_SECONDS,
    )
    os.close(writing)
    assert finished.stderr == b""


@pytest.mark.parametrize(
    ("closed", "prompts", "answers"),
    [("<&-", 1, 0), (">&-", 0, 0), ("2>&-", 2, 1), ("<&- >&- 2>&-", 0, 0)],
)
def test_what_is_closed_is_done_without(closed: str, prompts: int, answers: int) -> None:
    status, output, complaints = run("7\nq\n", *QUICK, command=in_shell(f'exec "$@" {closed}'))
    assert (status, complaints) == (0, "")
    assert output.count(PROMPT) == prompts
    assert output.count("Prediction") == answers


@linux_only
def test_a_full_disk_is_one_line() -> None:
    status, _, complaints = run("7\nq\n", *QUICK, command=in_shell('exec "$@" >/dev/full'))
    assert (status, complaints) == (
        1,
        "Standard input or output failed: No space left on device.\n",
    )


@linux_only
def test_a_full_disk_for_the_help_is_one_line() -> None:
    command = in_shell('exec "$@" >/dev/full', REAL_PROGRAM)
    status, _, complaints = run("", "--help", command=command)
    assert len(complaints.splitlines()) == 1
    assert status != 0


@linux_only
def test_a_full_disk_for_errors_is_no_success() -> None:
    status, output, _ = run("q\n", *QUICK, command=in_shell('exec "$@" 2>/dev/full'))
    assert status != 0
    assert "Traceback" not in output


def test_standard_input_that_cannot_be_read_is_one_line() -> None:
    status, _, complaints = run("", *QUICK, command=in_shell('exec "$@" 0>/dev/null'))
    assert status == 1
    assert complaints == "Standard input or output failed: Bad file descriptor.\n"


def test_a_folder_as_standard_input_is_no_traceback() -> None:
    # Python itself refuses it, before it runs any program.
    status, output, complaints = run("", *QUICK, command=in_shell('exec "$@" </'))
    assert (status, output) == (1, "")
    assert "<stdin> is a directory" in complaints
    assert "Traceback" not in complaints


# What else can go wrong


def test_a_file_in_place_of_the_cache_folder_is_one_line(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("mine")
    status, output, complaints = run("7\n", *QUICK, MNIST_DIR=str(file))
    assert (status, output) == (1, "")
    assert len(complaints.splitlines()) == 1
    assert str(file) in complaints
    assert file.read_text() == "mine"


@linux_only
def test_too_little_memory_is_one_line() -> None:
    # 100,000 nodes have weights of 313,600 kilobytes.
    command = in_shell('ulimit -v 300000; exec "$@"')
    status, output, complaints = run("", "--hidden-nodes", "100000", command=command)
    assert status == 1
    assert output == "Training 784-100000-10 on 6,000 images, 20 epochs:\n"
    assert complaints == "There is not enough memory; try fewer --hidden-nodes.\n"


# Screens


@pytest.fixture(scope="module")
def terminal() -> Iterator[Terminal]:
    """Start the program in a terminal of 256 colours, ready to be asked."""
    with in_terminal(*QUICK, TERM="xterm-256color") as terminal:
        terminal.wait_for(PROMPT)
        yield terminal
        quit_program(terminal)


def read_greys(terminal: Terminal) -> NDArray[np.float64]:
    """Rebuild the image above the last answer from the colours of the screen's cells."""
    answer = max(n for n, row in enumerate(terminal.rows()) if row.startswith("Prediction"))
    image = np.empty((28, 28))
    for row in range(14):
        for column in range(28):
            cell = terminal.screen.buffer[answer - 14 + row][column]
            assert cell.data == "▀"
            for half, colour in enumerate((cell.fg, cell.bg)):
                red, green, blue = bytes.fromhex(colour)  # "default" is no colour
                assert red == green == blue
                image[2 * row + half, column] = (red - 8) / 10 / 23  # 24 greys: 8, 18, ... 238
    return image


@pytest.mark.parametrize(
    ("question", "split", "index"), [("7", "train", 7), ("t 5", "t10k", 5), ("0", "train", 0)]
)
def test_the_digit_is_drawn_in_greys(
    terminal: Terminal, question: str, split: str, index: int
) -> None:
    *drawing, words = ask(terminal, question)
    assert drawing == ["▀" * 28] * 14
    assert ANSWER.fullmatch(words)
    error = np.abs(read_greys(terminal) - IMAGES[split][index])
    assert error.max() <= 0.5 / 23 + 1e-6


def test_colours_end_with_the_drawing(terminal: Terminal) -> None:
    ask(terminal, "7")
    rows = terminal.rows()
    answer = max(n for n, row in enumerate(rows) if row.startswith("Prediction"))
    cells = [terminal.screen.buffer[n][column] for n in range(24) for column in range(80)]
    beside = [cell for n, cell in enumerate(cells) if n % 80 >= 28 or n // 80 >= answer]
    assert {(cell.fg, cell.bg) for cell in beside} == {("default", "default")}


def test_a_question_and_its_answer_fit_on_the_screen_with_the_next_prompt(
    terminal: Terminal,
) -> None:
    title, *drawing, words = ask(terminal, "w")  # which has seen the question and the next prompt
    assert title.startswith("Mistake ")
    assert len(drawing) == 14
    assert ANSWER.fullmatch(words)


def test_the_help_at_the_prompt_fits_on_the_screen(terminal: Terminal) -> None:
    lines = ask(terminal, "?")
    assert [line.split()[0] for line in lines[:5]] == ["42", "t", "w", "?", "q"]
    assert len(lines) <= 22


@pytest.mark.parametrize(
    "variables",
    [
        {"TERM": "screen-256color"},
        {"TERM": "xterm", "COLORTERM": "truecolor"},
        {"TERM": "xterm", "COLORTERM": "24bit"},
        {"TERM": "xterm-256color", "NO_COLOR": ""},  # empty is as good as not set
        {"TERM": "xterm-256color", "PYTHONIOENCODING": "cp437"},
    ],
    ids=str,
)
def test_a_terminal_of_many_colours_shows_greys(variables: dict[str, str]) -> None:
    with in_terminal(*QUICK, **variables) as terminal:
        terminal.wait_for(PROMPT)
        ask(terminal, "7")
        error = np.abs(read_greys(terminal) - IMAGES["train"][7])
        quit_program(terminal)
    assert error.max() <= 0.5 / 23 + 1e-6


@pytest.mark.parametrize(
    "variables",
    [
        {"TERM": "xterm-256color", "NO_COLOR": "1"},
        {"TERM": "xterm", "COLORTERM": "truecolor", "NO_COLOR": "1"},
        {"TERM": "vt100"},
        {"TERM": "dumb"},
        {"TERM": "dumb", "COLORTERM": "truecolor"},
        {"TERM": "xterm-256color", "PYTHONIOENCODING": "ascii"},
        {"TERM": "xterm-256color", "PYTHONIOENCODING": "cp1252"},
    ],
    ids=str,
)
def test_any_other_terminal_shows_characters_without_colours(variables: dict[str, str]) -> None:
    with in_terminal(*QUICK, **variables) as terminal:
        terminal.wait_for(PROMPT)
        check_answer(ask(terminal, "7"), "train", 7)
        quit_program(terminal)
        cells = [cell for row in terminal.screen.buffer.values() for cell in row.values()]
    assert {(cell.fg, cell.bg) for cell in cells} == {("default", "default")}


@pytest.mark.parametrize(
    ("encoding", "characters"),
    [("utf-8", "░▒▓█"), ("cp437", "░▒▓█"), ("cp1252", ".:-=+*#%@"), ("ascii", ".:-=+*#%@")],
)
def test_a_drawing_keeps_to_the_characters_of_the_encoding(encoding: str, characters: str) -> None:
    status, output, complaints = run("7\nw\n", *QUICK, encoding=encoding, PYTHONIOENCODING=encoding)
    assert (status, complaints) == (0, "")
    lines = output.split(PROMPT)[1].splitlines()[1:]
    check_answer(lines, "train", 7)
    assert set("".join(lines[:-1])) == {" ", *characters}


def test_a_dumb_terminal_gets_plain_lines() -> None:
    with in_terminal("--epochs", "3", "--hidden-nodes", "16", TERM="dumb") as terminal:
        terminal.wait_for(PROMPT)
        training = terminal.output.replace("\r\n", "\n").removesuffix(PROMPT)
        ask(terminal, "7")
        _, dialogue, _ = terminal.output.replace("\r\n", "\n").split(PROMPT)
    written = training + dialogue.split("\n", 1)[1]  # the first line is what was typed
    assert len(EPOCH.findall(training)) == 3
    assert {character for character in written if not character.isprintable()} == {"\n"}


# The line of an epoch that is under way: number, error, accuracy, time left, bar.
LIVE = re.compile(
    r"Epoch (?P<epoch>\d)/2  error \d\.\d{4}  accuracy +\d+\.\d\d%  \d+ s left  (?P<bar>\S{20})"
)


@pytest.mark.parametrize(("encoding", "full", "empty"), [("utf-8", "━", "─"), ("ascii", "#", ".")])
def test_training_draws_over_one_line_for_each_epoch(encoding: str, full: str, empty: str) -> None:
    # As many nodes as make the first epoch last longer than the 0.1 s between two looks at it.
    options = ("--epochs", "2", "--hidden-nodes", "1000")
    with in_terminal(*options, TERM="xterm", PYTHONIOENCODING=encoding) as terminal:
        terminal.wait_for(PROMPT)
        rows = terminal.rows()
        pieces = re.split("[\r\n]+", terminal.output)
    frames = [piece for piece in pieces if piece.startswith("Epoch")]
    assert max(map(len, frames)) < 80
    lines = [LIVE.fullmatch(frame.rstrip()) or EPOCH.fullmatch(frame.rstrip()) for frame in frames]
    epochs = [line["epoch"] for line in lines if line]
    assert len(epochs) == len(frames)
    assert epochs == sorted(epochs)
    live = [line for line in lines if line and line.re is LIVE]
    assert all(re.fullmatch(f"{full}*{empty}*", line["bar"]) for line in live)
    bars = [line["bar"].count(full) for line in live if line["epoch"] == "1"]
    assert bars
    assert bars == sorted(bars)

    title = next(number for number, row in enumerate(rows) if row.startswith("Training"))
    *stay, trained = rows[title + 1 : title + 4]
    assert [line["epoch"] for line in map(EPOCH.fullmatch, stay) if line] == ["1", "2"]
    assert trained.startswith("Trained in")


def test_on_a_narrow_screen_each_epoch_is_still_one_line() -> None:
    with in_narrow_terminal("--epochs", "2", "--hidden-nodes", "1000") as terminal:
        terminal.wait_for("Test accuracy")
        rows = terminal.rows()
        pieces = re.split("[\r\n]+", terminal.output)
    frames = [piece for piece in pieces if piece.startswith("Epoch")]
    assert len(frames) > 2
    assert max(map(len, frames)) < 40
    title = next(number for number, row in enumerate(rows) if row.startswith("epochs:"))
    assert re.match(r"Epoch 1/2  error \d\.\d{4}  accuracy +\d+\.\d", rows[title + 1])
    assert re.match(r"Epoch 2/2  error \d\.\d{4}  accuracy +\d+\.\d", rows[title + 2])
    assert rows[title + 3].startswith("Trained in")


def test_what_the_line_of_an_epoch_says(monkeypatch: pytest.MonkeyPatch) -> None:
    class Screen(io.StringIO):
        encoding = "utf-8"

        def isatty(self) -> bool:
            return True

    now = 1000.0
    screen = Screen()
    monkeypatch.setattr("sys.stdout", screen)
    monkeypatch.setattr("time.monotonic", lambda: now)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")

    def last_line() -> str:
        return re.split("[\r\n]+", screen.getvalue().rstrip())[-1].rstrip()

    report = neural_network.training_display(image_count=4000, epochs=3)
    digits = np.eye(10, dtype=np.float32)
    others = np.roll(digits, 1, axis=1)  # for each digit, the output of another one
    now += 10
    report(1, 4000, np.tile(digits, (100, 1)), np.tile(digits, (100, 1)))
    # A quarter of an epoch took 10 s; the other two epochs should have 1/2 and 1/3 of the images.
    line = re.fullmatch("Epoch 1/3  error 0.0000  accuracy 100.00%  (.*) s left  ━+─+", last_line())
    assert line
    assert int(line[1]) == pytest.approx(40 * (3 / 4 + 1 / 2 + 1 / 3), rel=0.2)
    assert screen.getvalue().endswith("\r")  # what is typed now does not wrap
    now += 0.01
    report(1, 4000, np.tile(digits, (101, 1)), np.tile(digits, (101, 1)))  # too soon to be drawn
    assert screen.getvalue().count("Epoch") == 1
    now += 20
    report(1, 4000, np.tile(others, (400, 1)), np.tile(digits, (400, 1)))
    assert last_line() == "Epoch 1/3  error 0.2000  accuracy  0.00%  30.0 s   4,000 images"
    assert screen.getvalue().endswith("\n")
    # All but 40 images have been learned. Of these half are wrong: half a percent.
    now += 2
    both = np.concatenate([digits, others])
    report(2, 40, both, np.tile(digits, (2, 1)))
    assert "  error 0.0010  accuracy 99.50%  6 s left  ━" in last_line()
    now += 2
    report(2, 40, np.tile(both, (2, 1)), np.tile(digits, (4, 1)))
    assert last_line() == "Epoch 2/3  error 0.0010  accuracy 99.50%  34.0 s      40 images"


def test_arrow_up_brings_back_the_last_line(terminal: Terminal) -> None:
    answer = ask(terminal, "t 17")
    ask(terminal, "0")
    terminal.press("\x1b[A\x1b[A")
    terminal.wait_for("t 17")
    assert terminal.rows()[-1] == f"{PROMPT}t 17"
    terminal.press("\r")
    terminal.wait_for(PROMPT)
    assert terminal.rows()[-17:-1] == [f"{PROMPT}t 17", *answer]


def test_keys_are_answered_if_only_the_output_goes_through_a_pipe() -> None:
    with in_terminal(*QUICK, command=in_shell('"$@" | cat'), TERM="xterm-256color") as terminal:
        terminal.wait_for(PROMPT)
        terminal.press("t 5\r")
        terminal.wait_for(PROMPT)
        check_answer(terminal.rows()[-16:-1], "t10k", 5)
        terminal.press("\x04")
        assert terminal.finish() == 0
        assert "\x1b" not in terminal.output


def test_control_d_at_the_prompt_quits() -> None:
    with in_terminal(*QUICK, TERM="xterm") as terminal:
        terminal.wait_for(PROMPT)
        terminal.press("\x04")
        assert terminal.finish() == 0
        assert terminal.rows()[-2:] == [PROMPT.rstrip(), ""]
        assert terminal.screen.cursor.x == 0
