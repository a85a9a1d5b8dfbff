"""Tests of `d`: real events in a real window, on a virtual display of its own.

What the window shows is read from the pixels of the display wherever possible.
"""

import gc
import os
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from display import virtual_display
from PIL import ImageGrab
from program import PROMPT, QUICK, ask, in_terminal, quit_program, run

import neural_network
from import_data import as_mnist
from neural_network import Array, DrawingWindow, Network

if TYPE_CHECKING:
    import tkinter

pytestmark = pytest.mark.unix

BLACK, WHITE, ORANGE = (0, 0, 0), (255, 255, 255), (255, 175, 0)


@pytest.fixture(scope="module")
def display() -> Iterator[str]:
    """Start a virtual display and return its name."""
    pytest.importorskip("tkinter", reason="this Python has no tkinter")
    try:
        with virtual_display() as name:
            yield name
    except FileNotFoundError:
        pytest.skip("Xvfb, a virtual display, is not installed")


Play = Callable[[Callable[[DrawingWindow], object]], str]


@pytest.fixture
def play(
    display: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    trained: Network,
) -> Iterator[Play]:
    """Yield a function that opens the window, acts in it, and returns what is printed."""
    monkeypatch.setenv("DISPLAY", display)
    windows: list[Any] = []

    def play(act: Callable[[DrawingWindow], object]) -> str:
        class Acting(DrawingWindow):
            def __init__(self, window: "tkinter.Tk", network: Network) -> None:
                super().__init__(window, network)
                windows.append(window)
                window.focus_force()  # there is no window manager to give it the focus
                window.update()
                window.after(1, act, self)

        monkeypatch.setattr(neural_network, "DrawingWindow", Acting)
        neural_network.draw_digit(trained)
        with pytest.raises(Exception, match="application has been destroyed"):
            windows[0].winfo_exists()
        # A leftover timer would report at the prompt that its window is gone.
        assert windows[0].tk.splitlist(windows[0].tk.call("after", "info")) == ()
        first, *shown = capsys.readouterr().out.splitlines()
        assert first == "Draw in the window, and close it to return to the prompt."
        return "\n".join(shown)

    yield play
    # Tcl aborts if the remains of a window are deleted in a different thread, which the garbage
    # collector of Python may do.
    windows.clear()
    gc.collect()


def draw(drawing: DrawingWindow, *places: tuple[int, int]) -> None:
    """Draw a stroke from place to place."""
    (x, y), *others = places
    drawing.canvas.event_generate("<Button-1>", x=x, y=y)
    for x, y in others:
        drawing.canvas.event_generate("<B1-Motion>", x=x, y=y)
    drawing.canvas.event_generate("<ButtonRelease-1>", x=x, y=y)
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
    """Close the window, as its title bar would."""
    drawing.window.tk.call(drawing.window.protocol("WM_DELETE_WINDOW"))


def screenshot(drawing: DrawingWindow) -> Array:
    """Return the pixels of the display where the canvas is, of shape (280, 680, 3)."""
    canvas = drawing.canvas
    assert canvas.winfo_viewable()
    canvas.update()
    canvas.winfo_pointerxy()  # waits for the display
    x, y = canvas.winfo_rootx(), canvas.winfo_rooty()
    box = (x, y, x + canvas.winfo_width(), y + canvas.winfo_height())
    return np.asarray(ImageGrab.grab(box, xdisplay=os.environ["DISPLAY"]).convert("RGB"), int)


Box = tuple[int, int, int, int]


def texts_of(drawing: DrawingWindow) -> dict[Box, str]:
    """Return the texts of the canvas by their boxes, and check that none is hidden or overlaps."""
    canvas: Any = drawing.canvas  # the type stubs of tkinter lack some methods
    pixels = screenshot(drawing)
    items = [item for item in canvas.find_all() if canvas.type(item) == "text"]
    texts = {canvas.bbox(item): canvas.itemcget(item, "text") for item in items}
    texts = {box: text for box, text in texts.items() if text}
    covered = np.zeros(pixels.shape[:2], int)
    for (left, top, right, bottom), text in texts.items():
        assert 0 <= left < right <= pixels.shape[1]
        assert 0 <= top < bottom <= pixels.shape[0]
        assert np.ptp(pixels[top:bottom, left:right]) > 100, f"{text} is hidden"
        if bottom - top < 60:  # the box of the large digit is mostly empty
            covered[top:bottom, left:right] += 1
    assert covered.max() <= 1
    return texts


def bars_of(drawing: DrawingWindow) -> list[tuple[int, tuple[int, ...]]]:
    """Return the length and the color of each bar."""
    pixels = screenshot(drawing)
    bars = []
    for digit in range(10):
        row = pixels[28 * digit + 14, 465:630]
        length = int(np.argmin([*(row == row[0]).all(axis=1), False]))
        bars.append((length, tuple(row[0].tolist())))
    return bars


def test_the_window_follows_the_pen_and_the_terminal_shows_what_the_network_saw(
    play: Play, trained: Network
) -> None:
    pictures = []

    def act(drawing: DrawingWindow) -> None:
        draw(drawing, (150, 50), (145, 140))
        pictures.append(drawing.picture.copy())
        draw(drawing, (145, 140), (140, 230))
        pictures.append(drawing.picture.copy())
        image = as_mnist(drawing.picture)
        outputs = neural_network.forward_propagation(image, *trained)[1]
        lengths, colors = zip(*bars_of(drawing), strict=True)
        texts = texts_of(drawing)
        assert outputs.argmax() == 1
        assert lengths[1] == pytest.approx(160 * outputs[1], abs=1.5)
        assert colors.index(ORANGE) == 1
        assert colors.count(ORANGE) == 1
        for digit, output in enumerate(outputs):
            beside = [text for box, text in texts.items() if box[1] < 28 * digit + 14 < box[3]]
            assert {str(digit), f"{output:.2f}"} <= {*beside}
        assert [text for box, text in texts.items() if box[3] - box[1] > 60] == ["1"]
        assert "The network sees" in texts.values()
        assert "unsure" not in texts.values()
        seen = screenshot(drawing)[34:144:4, 302:412:4, 0] / 255
        assert np.abs(seen - image.reshape(28, 28)).max() < 0.003
        close(drawing)

    title, *rows, words = play(act).splitlines()
    first, second = pictures
    assert set(np.unique(first)) == {0, 1}
    assert first[35:155, 130:165].sum() == first.sum() > 100 * 15
    assert second[230, 140] == 1  # rows downwards, columns to the right
    assert second.sum() > 1.7 * first.sum()
    assert title == "Your digit, as the network sees it:"
    assert words == "Prediction: 1"
    outputs = neural_network.forward_propagation(as_mnist(second), *trained)[1]
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


def test_the_square_shows_the_picture_that_the_network_gets(play: Play) -> None:
    def act(drawing: DrawingWindow) -> None:
        draw(drawing, (60, 200), (200, 60), (220, 220))
        draw(drawing, (100, 100))  # a dot
        inside = [(60, 200), (130, 130), (136, 136), (210, 140), (220, 220), (100, 100), (108, 100)]
        outside = [(20, 20), (140, 210), (140, 140), (100, 113), (113, 113)]
        pixels = screenshot(drawing)
        for x, y in inside + outside:
            assert tuple(pixels[y, x]) == (WHITE if (x, y) in inside else BLACK)
            assert drawing.picture[y, x] == ((x, y) in inside)
        close(drawing)

    play(act)


def test_an_unsure_prediction_says_so(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = []

    def act(drawing: DrawingWindow) -> None:
        draw(drawing, (100, 100), (150, 150))
        shown.append(texts_of(drawing).values())
        close(drawing)

    monkeypatch.setattr(neural_network, "forward_propagation", lambda *_: (None, np.full(10, 0.49)))
    assert play(act).endswith("Prediction: 0 (unsure)")
    assert "unsure" in shown[0]


@pytest.mark.parametrize(
    "clear",
    [
        lambda drawing: press(drawing, "Clear"),
        lambda drawing: drawing.window.event_generate("<Key-c>"),
        lambda drawing: drawing.window.event_generate("<Key-C>"),
        lambda drawing: drawing.canvas.event_generate("<Button-3>", x=9, y=9),
        lambda drawing: drawing.canvas.event_generate("<Button-2>", x=9, y=9),
    ],
    ids=["button", "c", "C", "right-click", "right-click on a Mac"],
)
def test_clear_empties_the_window_and_brings_back_the_hint(
    play: Play, clear: Callable[[DrawingWindow], object]
) -> None:
    def act(drawing: DrawingWindow) -> None:
        empty = screenshot(drawing)
        assert [*texts_of(drawing).values()] == ["Draw a large digit"]
        draw(drawing, (40, 40), (80, 80))
        drawn = screenshot(drawing)
        assert drawn[130:150, 60:220].max() == 0  # the invitation is gone
        clear(drawing)
        assert np.array_equal(screenshot(drawing), empty)
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


@pytest.mark.parametrize("dpi", [96, 144, 192])
def test_nothing_overlaps_or_is_cut_off_at_any_resolution(
    play: Play, monkeypatch: pytest.MonkeyPatch, dpi: int
) -> None:
    tkinter = pytest.importorskip("tkinter")

    class ScaledTk(tkinter.Tk):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.tk.call("tk", "scaling", dpi / 72)  # pixels per point

    def act(drawing: DrawingWindow) -> None:
        texts_of(drawing)
        draw(drawing, (60, 60), (220, 60), (120, 240))
        texts_of(drawing)
        for widget in drawing.window.winfo_children():
            assert widget.winfo_reqwidth() <= widget.winfo_width()
        assert drawing.window.winfo_width() == 680
        close(drawing)

    monkeypatch.setattr(tkinter, "Tk", ScaledTk)
    play(act)


def test_an_exception_while_drawing_is_not_swallowed(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    def act(drawing: DrawingWindow) -> None:
        monkeypatch.setattr(neural_network, "draw_line", interrupt)
        draw(drawing, (100, 100), (200, 200))

    with pytest.raises(KeyboardInterrupt):
        play(act)


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


@pytest.mark.skipif(sys.platform == "darwin", reason="a Mac needs no DISPLAY")
@pytest.mark.parametrize("name", ["", ":987654"])
def test_without_a_display_d_is_answered_in_one_line(name: str) -> None:
    pytest.importorskip("tkinter", reason="this Python has no tkinter")
    with in_terminal(*QUICK, columns=200, DISPLAY=name) as terminal:
        terminal.wait_for(PROMPT)
        (line,) = ask(terminal, "d")
        assert re.fullmatch(r"Drawing needs a graphical desktop and tkinter .*: .*display.*", line)
        quit_program(terminal)


def test_tkinter_is_imported_for_d_only_and_without_it_d_is_answered_in_one_line(
    tmp_path: Path,
) -> None:
    (tmp_path / "tkinter.py").write_text(
        "print('imported')\nraise ModuleNotFoundError(\"No module named '_tkinter'\")\n"
    )
    outcome = run("7\nd\n7\nq\n", *QUICK, PYTHONPATH=str(tmp_path))
    assert (outcome.status, outcome.errors) == (0, "")
    training, first, drawing, second, _ = outcome.output.split(PROMPT)
    assert drawing == (
        "imported\nDrawing needs a graphical desktop and tkinter (apt install python3-tk): "
        "No module named '_tkinter'.\n"
    )
    assert first == second
    assert "imported" not in training + first
