"""Tests of the prompt: each command, and the answer to anything else."""

import io
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from program import (
    PROGRAM,
    PROJECT,
    PROMPT,
    QUICK,
    ask,
    environment,
    in_terminal,
    quit_program,
    run,
)

import neural_network
from neural_network import HELP, Array, Network

Sample = tuple[Array, Array, Array, Array]
REFUSAL = "Type 0-5999, t 0-999, n 0-15, n, w, d, ?, q or Enter."

BLANK = Network(np.zeros((784, 1)), np.zeros((1, 10)), np.zeros(1), np.zeros(10))
EMPTY = np.zeros((0, 784)), np.zeros((0, 10))


def answers(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    typed: str,
    *arguments: Any,
) -> list[str]:
    """Let `prompt_loop` answer what is typed, and return the answer to each line."""
    monkeypatch.setattr("sys.stdin", io.StringIO(typed))
    neural_network.prompt_loop(*arguments)
    return re.split(r"Enter an index .*?to quit: ", capsys.readouterr().out)[1:]


def titles(shown: list[str]) -> list[str]:
    """Return the first line of each answer."""
    return [answer.partition("\n")[0] for answer in shown]


ANSWERED = {
    "7": "Training image 7:",
    "0": "Training image 0:",
    "5999": "Training image 5999:",
    " 007\t": "Training image 7:",
    "t 5": "Test image 5:",
    "T\t999": "Test image 999:",
    "n 15": r"Hidden node 15, rank \d+ of 16 by strength:",
    "n0": r"Hidden node 0, rank \d+ of 16 by strength:",
    "": r"Test image \d+:",
    "w": r"Mistake 1 of \d+, test image \d+:",
    "?": re.escape(HELP.partition("\n")[0]),
    "Help": re.escape(HELP.partition("\n")[0]),
    "h": re.escape(HELP.partition("\n")[0]),
}
REFUSED = (
    *("-1", "6000", "t 1000", "n 16", "n -1", "1e3", "4 2", "t", "9" * 10_000, "\x1b[A\0", "quite"),
    *("\N{ARABIC-INDIC DIGIT FOUR}", "\N{SUPERSCRIPT TWO}"),
)


@pytest.fixture(scope="module")
def dialogue() -> dict[str, str]:
    """Return the answer to each question, all asked in one run."""
    questions = [*ANSWERED, *REFUSED]
    outcome = run("\n".join(questions), *QUICK)  # the last line ends with the input
    assert (outcome.status, outcome.errors) == (0, "")
    _, *shown, after_the_end = outcome.output.split(PROMPT)
    assert after_the_end == "\n"
    return dict(zip(questions, shown, strict=True))


@pytest.mark.parametrize("question", ANSWERED)
def test_a_command_is_answered(dialogue: dict[str, str], question: str) -> None:
    assert re.fullmatch(ANSWERED[question], dialogue[question].partition("\n")[0])


@pytest.mark.parametrize("question", REFUSED, ids=lambda question: repr(question)[:20])
def test_anything_else_gets_one_line_that_says_what_is_accepted(
    dialogue: dict[str, str], question: str
) -> None:
    assert dialogue[question] == f"{REFUSAL}\n"


def test_help_lists_the_commands_in_60_columns() -> None:
    listed = re.findall(r"^  (.+?)  +\S.*$", HELP, re.M)
    assert listed == ["42", "t 42", "Enter", "w", "n", "n 42", "d", "?", "q"]
    assert max(map(len, HELP.splitlines())) <= 60
    assert len(HELP.splitlines()) + 2 <= 24


def test_every_test_image_may_be_shown_after_an_empty_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    images = np.zeros((3, 784)), np.eye(10)[:3]
    shown = answers(monkeypatch, capsys, "\n" * 100, images, images, [], BLANK)
    # The probability that a hundred draws miss one of the three is about 1e-17.
    assert {*titles(shown[:-1])} == {"Test image 0:", "Test image 1:", "Test image 2:"}


def test_w_without_mistakes_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert answers(monkeypatch, capsys, "w\n", EMPTY, EMPTY, [], BLANK)[0].startswith("Type ")


@pytest.mark.parametrize("word", ["q", "Q", " quit ", "exit"])
def test_a_word_quits(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], word: str
) -> None:
    assert answers(monkeypatch, capsys, f"{word}\n7\n", EMPTY, EMPTY, [], BLANK) == [""]


def test_the_prompt_accepts_exactly_the_valid_indices(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    images = np.broadcast_to(0.0, (60_000, 784)), np.broadcast_to(np.eye(10)[0], (60_000, 10))
    test_set = images[0][:10_000], images[1][:10_000]
    typed = "59999\nt 9999\n60000\n"
    last, last_test, refused, _ = answers(
        monkeypatch, capsys, typed, images, test_set, [], network_of(10_000)
    )
    assert titles([last, last_test]) == ["Training image 59999:", "Test image 9999:"]
    assert refused == "Type 0-59999, t 0-9999, n 0-9999, n, w, d, ?, q or Enter.\n"
    assert len(refused) <= 60


def network_of(hidden_nodes: int) -> Network:
    """Return a network in which all weights and biases are 0."""
    incoming = np.broadcast_to(0.0, (784, hidden_nodes))
    return BLANK._replace(
        weights_input_to_hidden=incoming,
        weights_hidden_to_output=np.zeros((hidden_nodes, 10)),
        biases_hidden=np.zeros(hidden_nodes),
    )


def test_w_shows_each_mistake_in_turn_and_then_starts_over(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    sample: Sample,
    trained: Network,
) -> None:
    mistakes = neural_network.evaluate(*sample[2:], trained)
    predictions = neural_network.predict(sample[2], *trained)
    assert mistakes == np.flatnonzero(predictions != sample[3].argmax(axis=1)).tolist()
    typed = "w\n" * 4
    *shown, _ = answers(monkeypatch, capsys, typed, sample[:2], sample[2:], mistakes[:3], trained)
    assert shown[3] == shown[0]
    for count, (answer, index) in enumerate(zip(shown[:3], mistakes, strict=False), start=1):
        first, *_, last = answer.splitlines()
        assert first == f"Mistake {count} of 3, test image {index}:"
        assert last.endswith("  <-- WRONG")


def test_n_shows_the_strongest_node_first_and_continues_from_the_last_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # The norms are 1, 4, 3 and 5, 1, 3, so the strengths are 5, 4, 9.
    incoming, outgoing = np.full((784, 3), 1e-9), np.zeros((3, 10))
    incoming[100:104] = [[0.5, -2, 1.5]] * 4
    outgoing[:, 0], outgoing[:, 9] = [3, 0.6, 1.8], [-4, 0.8, 2.4]
    network = Network(incoming, outgoing, np.zeros(3), np.zeros(10))
    images = np.zeros((10, 784)), np.eye(10)
    *shown, refused, _ = answers(
        monkeypatch, capsys, "n\nn\nn 2\nN\nn\nn\nn 3\n", images, images, [], network
    )
    nodes = [re.findall(r"^Hidden node (\d), rank (\d) of 3", answer)[0] for answer in shown]
    strongest_first = [("2", "1"), ("0", "2"), ("1", "3")]
    assert nodes == [*strongest_first[:2], *strongest_first, strongest_first[0]]
    assert refused.startswith("Type ")


@pytest.mark.unix
def test_arrow_up_brings_back_the_last_line() -> None:
    with in_terminal(*QUICK) as terminal:
        terminal.wait_for(PROMPT)
        ask(terminal, "t 17")
        terminal.press("\x1b[A")
        terminal.wait_for("t 17")
        assert terminal.rows()[-1] == f"{PROMPT}t 17"
        terminal.press("\r")
        terminal.wait_for(PROMPT)
        quit_program(terminal)


@pytest.mark.unix
def test_without_readline_the_prompt_works(tmp_path: Path) -> None:
    # As on Windows
    (tmp_path / "readline.py").write_text("print('no readline')\nraise ImportError\n")
    with in_terminal(*QUICK, PYTHONPATH=str(tmp_path)) as terminal:
        terminal.wait_for("no readline")
        terminal.wait_for(PROMPT)
        assert ask(terminal, "7")[0] == "Training image 7:"
        quit_program(terminal)


def test_output_redirected_into_a_file_of_any_code_page_is_ascii(tmp_path: Path) -> None:
    # As on Windows, where a file has the code page of the system; no test sets PYTHONUTF8 here.
    path = tmp_path / "session.txt"
    variables = environment(PYTHONIOENCODING="cp1252:strict", TERM="xterm-256color")
    with path.open("wb") as file:
        finished = subprocess.run(
            [*PROGRAM, *QUICK],
            input=b"7\nn\nw\n?\nq\n",
            stdout=file,
            stderr=subprocess.PIPE,
            env=variables,
            cwd=PROJECT,
        )
    assert (finished.returncode, finished.stderr) == (0, b"")
    text = path.read_bytes().decode("ascii").replace("\r", "")
    assert "Prediction: " in text
    assert text.replace("\n", "").isprintable()


def test_show_prediction_prints_to_a_stdout_without_an_encoding() -> None:
    script = (
        "import contextlib, io\n"
        "import numpy as np\n"
        "from neural_network import initialize_weights_and_biases, show_prediction\n"
        "with contextlib.redirect_stdout(io.StringIO()) as stdout:\n"
        "    show_prediction(np.zeros(784), initialize_weights_and_biases(seed=0))\n"
        "print(stdout.getvalue())\n"
    )
    outcome = run(command=(sys.executable, "-c", script), TERM="xterm-256color")
    assert (outcome.status, outcome.errors) == (0, "")
    assert "Prediction: " in outcome.output
