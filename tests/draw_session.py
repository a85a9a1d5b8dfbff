"""Draw `.github/session.svg`, a part of a real session: `python tests/draw_session.py`."""

import itertools
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from xml.sax.saxutils import escape

import pyte
from terminal import Terminal

PROJECT = Path(__file__).resolve().parent.parent
PICTURE = PROJECT / ".github" / "session.svg"
TITLE = "A terminal: a mistake of the network, and a hidden node"
PROMPT = "q to quit: "
QUESTIONS = ("w", "n 154")  # a mistake, a hidden node

LINES, COLUMNS = 100, 60  # more lines than the session takes: the picture ends at the last prompt
SIDE = 7  # of a pixel of a digit: a character is one wide and two high
MARGIN = 7  # around the text
INK, PAPER, FRAME = "#e6edf3", "#161b22", "#444c56"  # the frame shows on a dark page
FONTS = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'Liberation Mono', monospace"


def main() -> None:
    """Run a session, and draw the screen."""
    program = [sys.executable, "neural_network.py"]
    settings = {"TERM": "xterm-256color", "PYTHONUTF8": "1", "NO_COLOR": ""}
    environment = os.environ | settings
    with Terminal(program, environment, PROJECT, lines=LINES, columns=COLUMNS) as terminal:
        for question in QUESTIONS:
            terminal.wait_for(PROMPT)
            terminal.press(question + "\r")
        terminal.wait_for(PROMPT)
        if any("bundled sample" in row for row in terminal.screen.display):
            sys.exit("All of MNIST is needed: run neural_network.py first, or set MNIST_DIR")
        PICTURE.write_text(draw(terminal.screen), encoding="utf-8")


def draw(screen: pyte.Screen) -> str:
    """Return the screen, from the test accuracy to the cursor, as a window in SVG."""
    first = next(n for n, row in enumerate(screen.display) if row.startswith("Test accuracy"))
    x, y = screen.cursor.x, screen.cursor.y - first
    width, height = screen.columns * SIDE + 2 * MARGIN, (y + 1) * 2 * SIDE + 2 * MARGIN
    rows = ["\n".join(draw_row(screen, first, row)) for row in range(y + 1)]
    shapes = "\n".join([*rows, rectangle(x, 2 * y, 1, 2, INK)])  # the last is the cursor
    return f"""\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}"
  width="{width}" height="{height}" role="img">
<title>{escape(TITLE)}</title>
<rect x="1" y="1" width="{width - 2}" height="{height - 2}" rx="10"
  fill="{PAPER}" stroke="{FRAME}" stroke-width="2"/>
<g transform="translate({MARGIN} {MARGIN})" shape-rendering="crispEdges"
  font-family="{FONTS}" font-size="{1.6 * SIDE:.1f}">
{shapes}
</g>
</svg>
"""


def draw_row(screen: pyte.Screen, first: int, y: int) -> Iterator[str]:
    """Return the rectangles and texts of a row; blocks are rectangles, without seams."""
    cells = [screen.buffer[first + y][x] for x in range(screen.columns)]
    text = "".join(" " if cell.data in "▀█" else cell.data for cell in cells)
    inks = [INK if cell.fg == "default" else f"#{cell.fg}" for cell in cells]
    papers = [PAPER if cell.bg == "default" else f"#{cell.bg}" for cell in cells]
    columns = range(screen.columns)
    upper = [inks[x] if cells[x].data in "▀█" else papers[x] for x in columns]
    lower = [inks[x] if cells[x].data == "█" else papers[x] for x in columns]
    for half, colors in enumerate((upper, lower)):
        for x, length, color in runs(colors):
            if color != PAPER:
                yield rectangle(x, 2 * y + half, length, 1, color)
    for x, length, color in runs(inks):
        if piece := text[x : x + length].rstrip():
            # However wide the letters of the font are, they keep to their columns.
            width = f'textLength="{len(piece) * SIDE}" lengthAdjust="spacingAndGlyphs"'
            place = f'x="{x * SIDE}" y="{(2 * y + 1.5) * SIDE:g}" {width} xml:space="preserve"'
            yield f'<text {place} fill="{color}">{escape(piece)}</text>'


def runs(colors: list[str]) -> Iterator[tuple[int, int, str]]:
    """Return the start, the length and the color of each run of equal colors."""
    for color, equal in itertools.groupby(range(len(colors)), colors.__getitem__):
        columns = list(equal)
        yield columns[0], len(columns), color


def rectangle(x: int, y: int, width: int, height: int, color: str) -> str:
    """Return a rectangle, measured in pixels of a digit."""
    place = f'x="{x * SIDE}" y="{y * SIDE}" width="{width * SIDE}" height="{height * SIDE}"'
    return f'<rect {place} fill="{color}"/>'


if __name__ == "__main__":
    main()
