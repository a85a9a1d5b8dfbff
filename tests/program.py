"""Run `python neural_network.py` as a person does, through pipes and in a terminal.

Nearly all runs are on the bundled sample, with a network that is quickly trained and often wrong.
"""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from terminal import Terminal

PROJECT = Path(__file__).resolve().parent.parent
PROGRAM = (sys.executable, "neural_network.py")
QUICK = ("--epochs", "1", "--hidden-nodes", "16")
PROMPT = "Enter an index (0 - 5999), ? for help, q to quit: "


class Outcome(NamedTuple):
    """How a run ended, and what it printed."""

    status: int
    output: str
    errors: str


def environment(**changes: str) -> dict[str, str]:
    """Return an environment that is the same on every machine, with some changes."""
    of_the_user = ("TERM", "COLORTERM", "WT_SESSION", "NO_COLOR", "LC_ALL", "LANG", "PYTHON")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(of_the_user)}
    fixed = {
        "MNIST_DIR": "tests/mnist_sample",
        "LC_ALL": "C.UTF-8",
        "INPUTRC": os.devnull,
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    return kept | fixed | changes


def run(
    typed: str = "",
    *options: str,
    command: Sequence[str] = PROGRAM,
    encoding: str = "utf-8",
    folder: Path = PROJECT,
    **changes: str,
) -> Outcome:
    """Run the program with pipes until it ends."""
    finished = subprocess.run(
        [*command, *options],
        input=typed.encode(),
        capture_output=True,
        env=environment(PYTHONIOENCODING=encoding, **changes),
        cwd=folder,
    )
    output, errors = (stream.decode(encoding) for stream in (finished.stdout, finished.stderr))
    return Outcome(finished.returncode, output, errors)


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
    asked = max(number for number, row in enumerate(rows) if row == (PROMPT + question).rstrip())
    return rows[asked + 1 : -1]


def quit_program(terminal: Terminal) -> None:
    """Quit at the prompt of a terminal."""
    terminal.press("q\r")
    assert terminal.finish() == 0
    assert terminal.screen.cursor.x == 0
