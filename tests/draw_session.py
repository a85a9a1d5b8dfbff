"""Draw `.github/session.svg`: the screen after a real session, `python tests/draw_session.py`."""

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
TITLE = "A terminal: the network learns, then reads one digit right and another one wrong"
COMMAND = "$ python neural_network.py"  # the line of the shell
PROMPT = "'q' to quit: "
QUESTIONS = ("0", "w")  # a training digit, a mistake

LINES = 100  # more than the session takes: the picture ends at the last prompt
SIDE = 10  # of a pixel of a digit: a character is one wide and two high
MARGIN = 20  # around the text
INK, PAPER, FRAME = "#e6edf3", "#161b22", "#444c56"  # the frame shows on a dark page
FONTS = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'Liberation Mono', monospace"


def main() -> None:
    """Run the program, ask it, and draw the screen."""
    program = [sys.executable, "neural_network.py"]
    settings = {"TERM": "xterm-256color", "PYTHONUTF8": "1", "NO_COLOR": ""}
    with Terminal(program, os.environ | settings, PROJECT, lines=LINES) as terminal:
        terminal.screen.draw(COMMAND)
        terminal.screen.linefeed()
        terminal.screen.carriage_return()
        for question in QUESTIONS:
            terminal.wait_for(PROMPT)
            terminal.press(question + "\r")
        terminal.wait_for(PROMPT)
        PICTURE.write_text(draw(terminal.screen), encoding="utf-8")


def draw(screen: pyte.Screen) -> str:
    """Return the screen, down to the cursor, as a window in SVG."""
    x, y = screen.cursor.x, screen.cursor.y
    width, height = screen.columns * SIDE + 2 * MARGIN, (y + 1) * 2 * SIDE + 2 * MARGIN
    rows = ["\n".join(draw_row(screen, row)) for row in range(y + 1)]
    shapes = "\n".join([*rows, rectangle(x, 2 * y, 1, 2, INK)])  # the last is the cursor
    return f"""\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}"
  width="{width}" height="{height}" role="img">
<title>{escape(TITLE)}</title>
<rect x="1" y="1" width="{width - 2}" height="{height - 2}" rx="10"
  fill="{PAPER}" stroke="{FRAME}" stroke-width="2"/>
<g transform="translate({MARGIN} {MARGIN})" shape-rendering="crispEdges"
  font-family="{FONTS}" font-size="16">
{shapes}
</g>
</svg>
"""


def draw_row(screen: pyte.Screen, y: int) -> Iterator[str]:
    """Return the rectangles and texts of a row; half blocks are rectangles, without seams."""
    cells = [screen.buffer[y][x] for x in range(screen.columns)]
    text = "".join(" " if cell.data == "▀" else cell.data for cell in cells)
    inks = [INK if cell.fg == "default" else f"#{cell.fg}" for cell in cells]
    lower = [PAPER if cell.bg == "default" else f"#{cell.bg}" for cell in cells]
    upper = [inks[x] if cells[x].data == "▀" else lower[x] for x in range(screen.columns)]
    for half, colours in enumerate((upper, lower)):
        for x, length, colour in runs(colours):
            if colour != PAPER:
                yield rectangle(x, 2 * y + half, length, 1, colour)
    for x, length, colour in runs(inks):
        if piece := text[x : x + length].rstrip():
            # However wide the letters of the font are, they keep to their columns.
            columns = f'textLength="{len(piece) * SIDE}" lengthAdjust="spacingAndGlyphs"'
            place = f'x="{x * SIDE}" y="{2 * y * SIDE + 15}" {columns} xml:space="preserve"'
            yield f'<text {place} fill="{colour}">{escape(piece)}</text>'


def runs(colours: list[str]) -> Iterator[tuple[int, int, str]]:
    """Return the start, the length and the colour of each run of equal colours."""
    for colour, equal in itertools.groupby(range(len(colours)), colours.__getitem__):
        columns = list(equal)
        yield columns[0], len(columns), colour


def rectangle(x: int, y: int, width: int, height: int, colour: str) -> str:
    """Return a rectangle, measured in pixels of a digit."""
    place = f'x="{x * SIDE}" y="{y * SIDE}" width="{width * SIDE}" height="{height * SIDE}"'
    return f'<rect {place} fill="{colour}"/>'


if __name__ == "__main__":
    main()
