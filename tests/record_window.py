"""Record `.github/drawing.gif`, the window in use: `python tests/record_window.py`.

All of MNIST and Xvfb are needed.
"""

import sys
import tkinter
from pathlib import Path

import numpy as np
from display import virtual_display
from PIL import Image, ImageGrab, ImageOps

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from import_data import DataError, get_data
from neural_network import DrawingWindow, Network, train

PICTURE = Path(__file__).resolve().parent.parent / ".github" / "drawing.gif"
FRAMES, POINTS = 34, 3  # frames in which the pen moves, and its positions in each of them
FULL, EMPTY, STEP = 1500, 800, 70  # milliseconds for the finished digit, the empty window, the rest
COLORS = 64
BORDER = "#888"  # shows on a light page and on a dark one


def main() -> None:
    """Train the network, draw a digit in the window, and save what the window shows."""
    try:
        network = train(*get_data("train"), seed=0)
        with virtual_display() as display:
            save(record(network, display))
    except (DataError, OSError) as error:
        sys.exit(str(error))


def record(network: Network, display: str) -> list[Image.Image]:
    """Draw a digit with the mouse, and return the frames, from the empty window on."""
    window = tkinter.Tk(display)
    drawing = DrawingWindow(window, network)
    frames = [grab(window, display)]
    for number, (x, y) in enumerate(pen_positions(), start=1):
        drawing.canvas.event_generate("<Button-1>" if number == 1 else "<B1-Motion>", x=x, y=y)
        if number % POINTS == 0:
            frames.append(grab(window, display))
    window.destroy()
    return frames


def pen_positions() -> list[list[int]]:
    """Return x and y of each position of the pen along an 8."""
    t = np.linspace(-0.7, 5.5, FRAMES * POINTS)  # almost a full turn, from the upper right
    up = np.cos(t)  # from 1 at the top to -1 at the bottom, where the 8 is wider
    x = 140 + 14 * up - (50 - 7 * up) * np.sin(2 * t)
    y = 136 - 90 * up + 8 * up**2
    return np.rint(np.column_stack([x, y])).astype(int).tolist()


def grab(window: tkinter.Tk, display: str) -> Image.Image:
    """Return what the display shows of the window."""
    window.update()
    window.winfo_pointerxy()  # waits for the display
    x, y = window.winfo_rootx(), window.winfo_rooty()
    box = (x, y, x + window.winfo_width(), y + window.winfo_height())
    return ImageGrab.grab(box, xdisplay=display)


def save(frames: list[Image.Image]) -> None:
    """Save the frames, the last one first, with one palette for all, as a GIF that never ends."""
    frames = [frames[-1], *frames[:-1]]  # where the GIF stands still, it shows a digit
    bordered = [np.asarray(ImageOps.expand(frame, 2, BORDER)) for frame in frames]
    height, width, _ = bordered[0].shape
    strip = Image.fromarray(np.vstack(bordered)).quantize(COLORS)
    first, *others = (strip.crop((0, y, width, y + height)) for y in range(0, strip.height, height))
    times = [FULL, EMPTY, *[STEP] * (len(others) - 1)]
    first.save(PICTURE, save_all=True, append_images=others, duration=times, loop=0, optimize=True)


if __name__ == "__main__":
    main()
