"""Tests of `d`: real events in a real window, on a virtual display of its own.

What the window shows is read from the pixels of the display wherever that can be done.
"""

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
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import ImageGrab
from test_program import EMPTY, PROMPT, QUICK, ask, in_terminal, quit_program, run

import neural_network
from import_data import as_mnist
from neural_network import Array, DrawingWindow, Network

if TYPE_CHECKING:
    import tkinter

pytestmark = pytest.mark.unix

BLACK, WHITE, ORANGE, BACKGROUND = (0, 0, 0), (255, 255, 255), (255, 175, 0), (31, 31, 31)


@pytest.fixture(scope="module")
def display() -> Iterator[str]:
    """Start a virtual display and return its name."""
    pytest.importorskip("tkinter", reason="this Python has no tkinter")
    if not shutil.which("Xvfb"):
        pytest.skip("Xvfb, a virtual display, is not installed")
    reader, writer = os.pipe()
    command = ("Xvfb", "-displayfd", str(writer), "-nolisten", "tcp", "-screen", "0", "800x600x24")
    with subprocess.Popen(command, pass_fds=[writer], stderr=subprocess.DEVNULL) as server:
        os.close(writer)
        assert select.select([reader], [], [], 30)[0]
        yield f":{os.read(reader, 10).decode().strip()}"
        server.terminate()
    os.close(reader)


Play = Callable[[Callable[[DrawingWindow], object]], str]


@pytest.fixture
def play(
    display: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    trained: Network,
) -> Iterator[Play]:
    """Yield a function that types `d`, acts in the window, and returns what is printed."""
    monkeypatch.setenv("DISPLAY", display)

    def play(act: Callable[[DrawingWindow], object]) -> str:
        class Acting(DrawingWindow):
            def __init__(self, window: "tkinter.Tk", network: Network) -> None:
                super().__init__(window, network)
                windows.append(window)
                window.destroy = self.destroy  # type: ignore[method-assign]
                window.update()
                window.after(1, act, self)

            def destroy(self) -> None:
                # A timer that is left would complain at the prompt that its window is gone.
                timers.append(self.window.tk.splitlist(self.window.tk.call("after", "info")))
                type(self.window).destroy(self.window)

        windows: list[Any] = []
        timers: list[tuple[str, ...]] = []
        monkeypatch.setattr(neural_network, "DrawingWindow", Acting)
        monkeypatch.setattr("sys.stdin", io.StringIO("d\n"))
        training_set = np.zeros((6000, 784)), np.zeros((6000, 10))
        try:
            neural_network.prompt_loop(training_set, EMPTY, [], trained)
        finally:
            with pytest.raises(Exception, match="application has been destroyed"):
                windows[0].winfo_exists()
            windows.clear()
            assert timers == [()]
        _, answer, _ = capsys.readouterr().out.split(PROMPT)
        _, first, *shown = answer.splitlines()
        assert first == "Draw in the window, and close it to return to the prompt."
        return "\n".join(shown)

    yield play
    # Tcl ends the process if what is left of a window is deleted in another thread, as it may be
    # when Python looks for garbage there.
    gc.collect()


def draw(drawing: DrawingWindow, *places: tuple[int, int]) -> None:
    """Draw a stroke from place to place."""
    (x, y), *others = places
    drawing.square.event_generate("<Button-1>", x=x, y=y)
    for x, y in others:
        drawing.square.event_generate("<B1-Motion>", x=x, y=y)
    drawing.square.event_generate("<ButtonRelease-1>", x=x, y=y)
    drawing.window.update()


def press(drawing: DrawingWindow, name: str) -> None:
    """Press the button in the middle of what the screen shows of it."""
    (button,) = (
        widget
        for widget in drawing.window.winfo_children()
        if widget.winfo_class() == "Button" and str(widget.cget("text")).startswith(name)
    )
    assert button.winfo_viewable()
    x, y = button.winfo_width() // 2, button.winfo_height() // 2
    shown = drawing.window.winfo_containing(button.winfo_rootx() + x, button.winfo_rooty() + y)
    assert shown is button
    for event in ("<Enter>", "<Button-1>", "<ButtonRelease-1>"):
        button.event_generate(event, x=x, y=y)


def close(drawing: DrawingWindow) -> None:
    """Close the window, as its frame would do it."""
    drawing.window.tk.call(drawing.window.protocol("WM_DELETE_WINDOW"))


def screenshot(canvas: "tkinter.Canvas") -> Array:
    """Return the pixels of the display where a canvas is, of shape (height, width, 3)."""
    assert canvas.winfo_viewable()
    canvas.update()
    canvas.winfo_pointerxy()  # waits for the display
    x, y = canvas.winfo_rootx(), canvas.winfo_rooty()
    box = (x, y, x + canvas.winfo_width(), y + canvas.winfo_height())
    return np.asarray(ImageGrab.grab(box, xdisplay=os.environ["DISPLAY"]).convert("RGB"), int)


class Answer:
    """What is seen at the right of the square."""

    def __init__(self, drawing: DrawingWindow) -> None:
        canvas: Any = drawing.answer  # the types of tkinter do not know all its methods
        pixels = screenshot(canvas)
        texts = [
            (canvas.itemcget(item, "text"), canvas.bbox(item))
            for item in canvas.find_all()
            if canvas.type(item) == "text"
        ]
        for text, (left, top, right, bottom) in texts:
            assert 0 <= left < right <= pixels.shape[1]
            assert 0 <= top < bottom <= pixels.shape[0]
            assert np.ptp(pixels[top:bottom, left:right]) > 100, f"{text} is not seen"
        self.lengths, self.colors, self.numbers = [], [], []
        labels = {text: box for text, box in texts if box[0] > 140 and len(text) == 1}
        assert len(labels) == 10
        for digit in range(10):
            _, top, right, bottom = labels[str(digit)]
            middle = (top + bottom) // 2
            row = pixels[middle, right + 3 :]  # at the right of the label
            bar = np.flatnonzero((row != row[0]).any(axis=1))
            start = bar[0]
            self.colors.append(tuple(row[start].tolist()))
            self.lengths.append(int(np.argmin((row[start:] == row[start]).all(axis=1))))
            self.numbers += [
                text for text, box in texts if len(text) == 4 and box[1] < middle < box[3]
            ]
        (image,) = (item for item in canvas.find_all() if canvas.type(item) == "image")
        left, top, right, bottom = canvas.bbox(image)
        self.seen = pixels[top + 1 : bottom : 4, left + 1 : right : 4, 0] / 255
        large = [(text, box) for text, box in texts if box[3] - box[1] > 60]
        self.prediction = large[0][0] if large else None
        assert all(
            (pixels[box[1] : box[3], box[0] : box[2]] == ORANGE).all(axis=-1).any()
            for _, box in large
        )


def outputs_of(image: Array, network: Network) -> Array:
    """Return the ten outputs."""
    return neural_network.forward_propagation(image, *network)[1]


def test_the_window_follows_the_pen_and_the_terminal_shows_what_the_network_saw(
    play: Play, trained: Network
) -> None:
    pictures = []

    def act(drawing: DrawingWindow) -> None:
        draw(drawing, (150, 50), (145, 140))
        pictures.append(drawing.picture.copy())
        draw(drawing, (145, 140), (140, 230))
        pictures.append(drawing.picture.copy())
        answer = Answer(drawing)
        image = as_mnist(drawing.picture)
        outputs = outputs_of(image, trained)
        assert answer.lengths == pytest.approx(160 * outputs, abs=1.5)
        assert answer.numbers == [f"{output:.2f}" for output in outputs]
        assert [color == ORANGE for color in answer.colors] == [d == 1 for d in range(10)]
        assert answer.prediction == "1"
        assert np.abs(answer.seen - image.reshape(28, 28)).max() < 0.003
        close(drawing)

    title, *rows, words = play(act).splitlines()
    first, second = pictures
    assert set(np.unique(first)) == {0, 1}
    assert first[35:155, 130:165].sum() == first.sum() > 100 * 15
    assert second[230, 140] == 1  # rows downwards, columns to the right
    assert second.sum() > 1.7 * first.sum()
    assert title == "Your digit, as the network sees it:"
    assert words == "Prediction: 1"
    outputs = outputs_of(as_mnist(second), trained)
    assert [float(row[28:].split()[1]) for row in rows[2:12]] == pytest.approx(outputs, abs=0.006)


def test_a_stroke_is_as_thick_as_in_mnist(
    play: Play, sample: tuple[Array, Array, Array, Array]
) -> None:
    images = []

    def act(drawing: DrawingWindow) -> None:
        draw(drawing, (140, 65), (140, 215))
        images.append(as_mnist(drawing.picture))
        close(drawing)

    play(act)
    ones = sample[0][sample[1][:, 1] == 1]
    assert np.quantile(ones.sum(axis=1), 0.1) < images[0].sum() < np.quantile(ones.sum(axis=1), 0.9)


def test_what_is_seen_in_the_square_is_what_the_network_gets(play: Play) -> None:
    def act(drawing: DrawingWindow) -> None:
        draw(drawing, (60, 200), (200, 60), (220, 220))
        draw(drawing, (100, 100))  # a dot
        inside = [(60, 200), (130, 130), (136, 136), (210, 140), (220, 220), (100, 100), (108, 100)]
        outside = [(20, 20), (140, 210), (140, 140), (100, 113), (113, 113)]
        pixels = screenshot(drawing.square)
        for x, y in inside + outside:
            assert tuple(pixels[y, x]) == (WHITE if (x, y) in inside else BLACK)
            assert drawing.picture[y, x] == ((x, y) in inside)
        close(drawing)

    play(act)


@pytest.mark.parametrize(
    "clear",
    [
        lambda drawing: press(drawing, "Clear"),
        lambda drawing: drawing.window.event_generate("<Key-c>"),
        lambda drawing: drawing.window.event_generate("<Key-Delete>"),
        lambda drawing: drawing.square.event_generate("<Button-3>", x=9, y=9),
        lambda drawing: drawing.square.event_generate("<Button-2>", x=9, y=9),
    ],
    ids=["button", "c", "Delete", "right button", "right button of a Mac"],
)
def test_clear_empties_the_square_and_an_empty_square_invites(
    play: Play, clear: Callable[[DrawingWindow], object]
) -> None:
    def act(drawing: DrawingWindow) -> None:
        empty = screenshot(drawing.square)
        (invitation,) = drawing.square.find_all()
        words = drawing.window.tk.call(str(drawing.square), "itemcget", invitation, "-text")
        assert words == "Draw a large digit"
        assert empty.max() > 100
        draw(drawing, (40, 40), (80, 80))
        drawn = screenshot(drawing.square)
        assert drawn[130:150, 60:220].max() == 0  # the invitation is gone
        assert max(Answer(drawing).lengths) > 1
        clear(drawing)
        assert np.array_equal(screenshot(drawing.square), empty)
        answer = Answer(drawing)
        assert max(answer.lengths) <= 1
        assert answer.numbers == []
        assert answer.prediction is None
        assert answer.seen.max() == 0
        draw(drawing, (-100, -100), (-200, -100))  # beside the square
        close(drawing)

    assert play(act) == ""


@pytest.mark.parametrize(
    "close",
    [
        lambda drawing: press(drawing, "Close"),
        lambda drawing: drawing.window.event_generate("<Key-Escape>"),
    ],
    ids=["button", "Escape"],
)
def test_a_button_and_escape_close_the_window(
    play: Play, close: Callable[[DrawingWindow], object]
) -> None:
    assert play(close) == ""


def test_what_goes_wrong_while_drawing_is_not_swallowed(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        DrawingWindow, "show_answer", lambda _: (_ for _ in ()).throw(KeyboardInterrupt)
    )
    monkeypatch.setattr(DrawingWindow, "clear", lambda *_: None)
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
        terminal.wait_for("Draw in the window")
        before = terminal.output
        terminal.press("\x03")
        assert terminal.finish() == 130
        assert re.fullmatch(r"[^\n]*\s*(\^C)?\s*", terminal.output.removeprefix(before))


@pytest.mark.parametrize("name", ["", ":987654"])
def test_without_a_display_d_is_a_line(name: str) -> None:
    pytest.importorskip("tkinter", reason="this Python has no tkinter")
    with in_terminal(*QUICK, DISPLAY=name) as terminal:
        terminal.wait_for(PROMPT)
        line = " ".join(ask(terminal, "d"))
        assert re.fullmatch(r"Drawing needs a graphical desktop or ssh -X \(.*display.*\)\.", line)
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
