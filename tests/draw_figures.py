"""Draw the figures of the chapter "How it learns" in README.md: `python tests/draw_figures.py`.

`.github/hidden_nodes.png` shows the strongest hidden nodes of a network trained on all of MNIST, in
the colors of the terminal. `.github/sigmoid.svg` shows the curve of the sigmoid.
"""

import itertools
import os
import sys
from collections.abc import Sequence
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before NumPy is imported, as in the program

import numpy as np
from PIL import Image, ImageDraw, ImageFont

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from import_data import DataError, get_data
from neural_network import (
    GRAYS,
    SIGNED,
    Array,
    ImageSet,
    Network,
    describe_node,
    rank_nodes,
    sigmoid,
    train,
)

FIGURES = Path(__file__).resolve().parent.parent / ".github"

ROWS, COLUMNS = 3, 4  # of hidden nodes
# Sizes in the figure of the hidden nodes, in pixels
SIDE = 4 * 28  # of an image: each of its pixels is enlarged fourfold
SLIT, GAP = 4, 16  # inside a pair of images, between pairs
CAPTION = 26  # the height of a caption
PAIR_WIDTH, PAIR_HEIGHT = 2 * SIDE + SLIT, SIDE + CAPTION

TEXT, PAPER = "#e6edf3", "#161b22"  # of the hidden nodes, as in session.svg
AXES, CURVE = "#808890", "#0087ff"  # of the sigmoid: visible on light and on dark pages
# The 256-color palette from code 16 on: a cube of colors, then grays
CUBE = itertools.product((0, 95, 135, 175, 215, 255), repeat=3)
PALETTE = np.array([*CUBE, *((gray, gray, gray) for gray in range(8, 248, 10))], np.uint8)


def main() -> None:
    """Train the network of the program, and draw both figures."""
    try:
        train_set, test_set = get_data("train"), get_data("test")
    except (DataError, OSError) as error:
        sys.exit(str(error))
    network = train(*train_set, seed=0)
    draw_nodes(network, test_set).save(FIGURES / "hidden_nodes.png", optimize=True)
    (FIGURES / "sigmoid.svg").write_text(draw_sigmoid(), encoding="utf-8")


def draw_nodes(network: Network, test_set: ImageSet) -> Image.Image:
    """Return a picture of the strongest hidden nodes, each beside the image that fits it best."""
    size = COLUMNS * (PAIR_WIDTH + GAP) + GAP, ROWS * (PAIR_HEIGHT + GAP) + GAP
    figure = Image.new("RGB", size, PAPER)
    draw, font = ImageDraw.Draw(figure), ImageFont.load_default(size=16)
    for rank, node in enumerate(rank_nodes(network)[: ROWS * COLUMNS]):
        row, column = divmod(rank, COLUMNS)
        x, y = GAP + column * (PAIR_WIDTH + GAP), GAP + row * (PAIR_HEIGHT + GAP)
        weights, pro, con, best = describe_node(network, node, test_set)
        figure.paste(enlarge(weights, SIGNED[0]), (x, y))
        figure.paste(enlarge(test_set[0][best], GRAYS[0]), (x + SIDE + SLIT, y))
        against = f", against {' '.join(map(str, con))}" if con else ""
        caption = f"for {' '.join(map(str, pro))}{against}"
        caption = caption.replace(" ", "  ")  # the spaces of this font are narrow
        draw.text((x + PAIR_WIDTH / 2, y + PAIR_HEIGHT), caption, TEXT, font, anchor="md")
    return figure


def enlarge(picture: Array, colors: Sequence[int]) -> Image.Image:
    """Return 784 pixels from 0 to 1 as a picture in colors of the 256-color palette."""
    codes = np.array(colors)[np.rint(picture * (len(colors) - 1)).astype(int)]
    image = Image.fromarray(PALETTE[codes - 16].reshape(28, 28, 3))
    return image.resize((SIDE, SIDE), Image.Resampling.NEAREST)


def draw_sigmoid() -> str:
    """Return the curve of the sigmoid from z = -6 to 6, in SVG."""
    zs = np.linspace(-6, 6, 49)
    # The origin is z = 0 and sigmoid(z) = 0; one unit is 25 pixels wide and 120 pixels high.
    points = " ".join(f"{25 * z:g},{-120 * o:.1f}" for z, o in zip(zs, sigmoid(zs), strict=True))
    return f"""\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="-192 -150 360 180" width="360" height="180"
  role="img" fill="none">
<title>The curve of the sigmoid</title>
<path d="M-155 0h305m0 -60h-305m0 -60h305M-100 5v-125m100 0v125m100 0v-125"
  stroke="{AXES}" stroke-opacity="0.6"/>
<polyline points="{points}" stroke="{CURVE}" stroke-width="3" stroke-linecap="round"/>
<g fill="{AXES}" font-family="system-ui, sans-serif" font-size="14" text-anchor="middle">
<text x="-100" y="20">&#8722;4</text><text y="20">0</text><text x="100" y="20">4</text>
<g text-anchor="end">
<text x="-161" y="5">0</text><text x="-161" y="-55">0.5</text><text x="-161" y="-115">1</text>
</g>
<text x="160" y="4">z</text><text x="-122" y="-133">sigmoid(z)</text>
</g>
</svg>
"""


if __name__ == "__main__":
    main()
