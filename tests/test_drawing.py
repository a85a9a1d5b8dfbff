"""Tests of `d`: real events in a real window, on a virtual display of its own."""

import gc
import io
import os
import re
import select
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_program import PROMPT, QUICK, ask, in_terminal, quit_program, run

import neural_network
from import_data import as_mnist
from neural_network import Array, Drawing, Network

pytestmark = pytest.mark.unix

NO_WINDOW = "Drawing needs a window: "


@pytest.fixture(scope="module")
def display() -> Iterator[str]:
    """Start a virtual display and return its name."""
    pytest.importorskip("tkinter", reason="this Python has no tkinter")
    if not shutil.which("Xvfb"):
        pytest.skip("Xvfb, a virtual display, is not installed")
    reader, writer = os.pipe()
    command = ("Xvfb", "-displayfd", str(writer), "-nolisten", "tcp")
    with subprocess.Popen(command, pass_fds=[writer], stderr=subprocess.DEVNULL) as server:
        os.close(writer)
        assert select.select([reader], [], [], 30)[0]
        yield f":{os.read(reader, 10).decode().strip()}"
        server.terminate()
    os.close(reader)


Play = Callable[[Callable[[Drawing], object]], str]


@pytest.fixture
def play(
    display: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    trained: Network,
) -> Iterator[Play]:
    """Yield a function that types `d`, acts in the window, and returns what is printed."""
    monkeypatch.setenv("DISPLAY", display)

    def play(act: Callable[[Drawing], object]) -> str:
        class Acting(Drawing):
            def __init__(self, window: Any, network: Network) -> None:
                super().__init__(window, network)
                windows.append(window)
                window.destroy = self.destroy
                window.update()
                window.after(1, act, self)

            def destroy(self) -> None:
                # A timer that is left would complain at the prompt that its window is gone.
                timers.append(self.window.tk.splitlist(self.window.tk.call("after", "info")))
                type(self.window).destroy(self.window)

        windows: list[Any] = []
        timers: list[tuple[str, ...]] = []
        monkeypatch.setattr(neural_network, "Drawing", Acting)
        monkeypatch.setattr("sys.stdin", io.StringIO("d\n"))
        nothing = np.zeros((6000, 784)), np.zeros((6000, 10))
        try:
            neural_network.ask(nothing, nothing, [], trained)
        finally:
            with pytest.raises(Exception, match="application has been destroyed"):
                windows[0].winfo_exists()
            windows.clear()
            assert timers == [()]
        _, answer, _ = capsys.readouterr().out.split(PROMPT)
        _, first, *shown = answer.splitlines()
        assert first == "Draw in the window. When you close it, this goes on."
        return "\n".join(shown)

    yield play
    # Tcl ends the process if what is left of a window is deleted in another thread, as it may be
    # when Python looks for garbage there.
    gc.collect()


def draw(drawing: Drawing, *places: tuple[int, int]) -> None:
    """Draw a stroke from place to place."""
    (x, y), *others = places
    drawing.square.event_generate("<Button-1>", x=x, y=y)
    for x, y in others:
        drawing.square.event_generate("<B1-Motion>", x=x, y=y)
    drawing.square.event_generate("<ButtonRelease-1>", x=x, y=y)
    drawing.window.update()


def press_clear(drawing: Drawing) -> None:
    """Press the button."""
    (button,) = (w for w in drawing.window.winfo_children() if w.winfo_class() == "Button")
    button.invoke()


def close(drawing: Drawing) -> None:
    """Close the window, as its frame would do it."""
    drawing.window.tk.call(drawing.window.protocol("WM_DELETE_WINDOW"))


def bars(drawing: Drawing) -> tuple[list[float], list[str]]:
    """Return the lengths and the colours of the ten bars, from 0 at the top to 9."""
    canvas: Any = drawing.bars
    items = [item for item in canvas.find_all() if canvas.type(item) == "rectangle"]
    boxes = [canvas.coords(item) for item in items]
    assert len(boxes) == 10
    assert boxes == sorted(boxes, key=lambda box: box[1])
    return [box[2] - box[0] for box in boxes], [canvas.itemcget(item, "fill") for item in items]


def outputs_of(image: Array, network: Network) -> Array:
    """Return the ten outputs."""
    return neural_network.forward_propagation(image, *network)[1]


def test_the_bars_follow_the_pen_and_the_terminal_shows_what_the_network_saw(
    play: Play, trained: Network
) -> None:
    pictures = []

    def act(drawing: Drawing) -> None:
        draw(drawing, (150, 50), (145, 140))
        pictures.append(drawing.picture.copy())
        draw(drawing, (145, 140), (140, 230))
        pictures.append(drawing.picture.copy())
        lengths, colours = bars(drawing)
        outputs = outputs_of(as_mnist(drawing.picture), trained)
        assert lengths == pytest.approx(240 * outputs, abs=0.5)
        assert [colour == colours[1] for colour in colours] == [d == 1 for d in range(10)]
        close(drawing)

    *rows, answer = play(act).splitlines()
    first, second = pictures
    assert set(np.unique(first)) == {0, 1}
    assert first[35:155, 130:165].sum() == first.sum() > 100 * 15
    assert second[230, 140] == 1  # rows downwards, columns to the right
    assert second.sum() > 1.7 * first.sum()
    assert answer == "Prediction: 1"
    outputs = outputs_of(as_mnist(second), trained)
    assert [float(row[28:].split()[1]) for row in rows[2:12]] == pytest.approx(outputs, abs=0.006)


def test_a_stroke_is_as_thick_as_in_mnist(
    play: Play, sample: tuple[Array, Array, Array, Array]
) -> None:
    images = []

    def act(drawing: Drawing) -> None:
        draw(drawing, (140, 65), (140, 215))
        images.append(as_mnist(drawing.picture))
        close(drawing)

    play(act)
    ones = sample[0][sample[1][:, 1] == 1]
    assert np.quantile(ones.sum(axis=1), 0.1) < images[0].sum() < np.quantile(ones.sum(axis=1), 0.9)


def test_what_is_seen_in_the_square_is_what_the_network_gets(play: Play) -> None:
    def act(drawing: Drawing) -> None:
        draw(drawing, (60, 200), (200, 60), (220, 220))
        draw(drawing, (100, 100))  # a dot
        inside = [(60, 200), (130, 130), (136, 136), (210, 140), (220, 220), (100, 100), (108, 100)]
        outside = [(20, 20), (140, 210), (140, 140), (100, 113), (113, 113)]
        for x, y in inside + outside:
            assert any(drawing.square.find_overlapping(x, y, x, y)) == ((x, y) in inside)
            assert drawing.picture[y, x] == ((x, y) in inside)
        close(drawing)

    play(act)


def test_clear_empties_the_square_and_an_empty_square_shows_nothing(play: Play) -> None:
    def act(drawing: Drawing) -> None:
        draw(drawing, (100, 100), (200, 200))
        assert max(bars(drawing)[0]) > 1
        press_clear(drawing)
        assert set(bars(drawing)[0]) == {0}
        assert drawing.square.find_all() == ()
        draw(drawing, (-100, -100), (-200, -100))  # beside the square
        close(drawing)

    assert play(act) == ""


def test_what_goes_wrong_while_drawing_is_not_swallowed(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Drawing, "read", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
    monkeypatch.setattr(Drawing, "clear", lambda _: None)
    with pytest.raises(KeyboardInterrupt):
        play(lambda drawing: draw(drawing, (100, 100), (200, 200)))


def test_an_interruption_is_noticed_while_nothing_happens_in_the_window(play: Play) -> None:
    interrupt = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        play(lambda _: interrupt.start())


def test_an_interruption_while_the_window_is_open_ends_the_program(display: str) -> None:
    with in_terminal(*QUICK, DISPLAY=display) as terminal:
        terminal.wait_for(PROMPT)
        terminal.press("d\r")
        terminal.wait_for("Draw in the window.")
        before = terminal.output
        terminal.press("\x03")
        assert terminal.finish() == 130
        assert re.fullmatch(r"[^\n]*\s*(\^C)?\s*", terminal.output.removeprefix(before))


@pytest.mark.parametrize("name", ["", ":987654"])
def test_without_a_display_d_is_a_line(name: str) -> None:
    pytest.importorskip("tkinter", reason="this Python has no tkinter")
    with in_terminal(*QUICK, DISPLAY=name) as terminal:
        terminal.wait_for(PROMPT)
        (line,) = ask(terminal, "d")
        assert line.startswith(NO_WINDOW)
        assert "display" in line
        quit_program(terminal)


def test_tkinter_is_imported_for_d_only_and_without_it_d_is_a_line(tmp_path: Path) -> None:
    (tmp_path / "tkinter.py").write_text(
        "print('imported')\nraise ModuleNotFoundError(\"No module named '_tkinter'\")\n"
    )
    outcome = run("7\nd\n7\nq\n", *QUICK, PYTHONPATH=str(tmp_path))
    assert (outcome.status, outcome.errors) == (0, "")
    training, first, drawing, second, _ = outcome.output.split(PROMPT)
    assert drawing.splitlines() == [
        "",
        "imported",
        "Drawing needs tkinter (Debian, Ubuntu: apt install python3-tk).",
    ]
    assert first == second
    assert "imported" not in training + first
