"""Pictures of one's own digits: each rule of `find_ink`, on pictures made from the sample."""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra import numpy as npst
from numpy.typing import NDArray

from import_data import as_mnist, connected_parts, find_ink
from neural_network import Network, predict

Picture = NDArray[Any]
NO_INK = "picture must have ink that is darker or lighter than its paper"
SHAPES = "picture must have the shape (height, width), (height, width, 3) or (height, width, 4)"
SHADE = np.linspace(0, 1, 140)  # pixels of a picture: 28 pixels of MNIST, each 5 x 5


def enlarge(image: Picture) -> Picture:
    return np.kron(image.reshape(28, 28), np.ones((5, 5)))


def cut_out(strokes: Picture) -> Picture:
    rows, columns = np.flatnonzero(strokes.any(axis=1)), np.flatnonzero(strokes.any(axis=0))
    return strokes[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


@pytest.fixture(scope="module")
def digits(sample: tuple[Picture, ...]) -> list[Picture]:
    """Return the strokes of forty digits: 1 in the ink, 0 elsewhere."""
    return [enlarge(image > 0.5) for image in sample[2][:40]]


def share_found(draw: Callable[[Picture], Picture], digits: list[Picture]) -> float:
    """Return the share of digits of which `find_ink` finds the strokes and nothing else."""
    differences = [as_mnist(find_ink(draw(digit))) - as_mnist(digit) for digit in digits]
    return float(np.mean([np.abs(difference).mean() < 0.01 for difference in differences]))


@pytest.mark.parametrize(
    "draw",
    [
        lambda strokes: 0.9 - 0.6 * strokes,
        lambda strokes: 0.2 + 0.1 * strokes,
        lambda strokes: strokes == 0,
        lambda strokes: (255 - 100 * strokes).astype(np.uint8),
    ],
)
def test_dark_ink_on_light_paper_and_light_ink_on_dark_paper(
    draw: Callable[[Picture], Picture], digits: list[Picture]
) -> None:
    assert share_found(draw, digits) == 1


@pytest.mark.parametrize("color", np.eye(3))
def test_ink_and_paper_of_any_color(color: Picture, digits: list[Picture]) -> None:
    assert share_found(lambda strokes: 1 - strokes[:, :, np.newaxis] * color, digits) == 1
    assert share_found(lambda strokes: strokes[:, :, np.newaxis] * color, digits) == 1


def test_transparency_shows_white_paper(digits: list[Picture]) -> None:
    black = np.array([0, 0, 0, 255])
    assert share_found(lambda strokes: np.uint8(1) * strokes[:, :, None] * black / 255, digits) == 1


def test_a_shadow_may_be_darker_than_the_ink(digits: list[Picture]) -> None:
    shadow = 0.9 - 0.6 * SHADE
    assert share_found(lambda strokes: shadow - 0.3 * strokes, digits) == 1
    assert share_found(lambda strokes: shadow[:, np.newaxis] - 0.3 * strokes, digits) == 1


def test_a_shadow_on_a_digit_that_fills_the_picture(digits: list[Picture]) -> None:
    def draw(strokes: Picture) -> Picture:
        ink = cut_out(strokes)
        return 0.9 - 0.4 * SHADE[: len(ink), np.newaxis] - 0.4 * ink

    assert share_found(draw, digits) >= 0.95


def test_a_digit_that_fills_the_picture(digits: list[Picture]) -> None:
    assert share_found(lambda strokes: 1 - cut_out(strokes), digits) >= 0.95
    assert share_found(cut_out, digits) >= 0.9


def test_noise_disappears_from_a_large_picture(digits: list[Picture]) -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, (1120, 1120))

    def draw(strokes: Picture) -> Picture:
        return (0.6 - 0.2 * np.kron(strokes, np.ones((8, 8))) + noise).clip(0, 1)

    assert share_found(draw, digits[:5]) == 1


def test_a_dark_speck_beside_faint_ink(digits: list[Picture]) -> None:
    def draw(strokes: Picture) -> Picture:
        picture = 0.9 - 0.1 * strokes
        picture[4:6, 8:10] = 0
        return picture

    assert share_found(draw, digits) >= 0.95


def test_a_blot_on_faint_ink(digits: list[Picture]) -> None:
    def draw(strokes: Picture) -> Picture:
        row, column = np.argwhere(strokes)[np.count_nonzero(strokes) // 2]
        picture = 0.9 - 0.2 * strokes
        picture[row : row + 4, column : column + 4] -= (
            0.6 * strokes[row : row + 4, column : column + 4]
        )
        return picture

    assert share_found(draw, digits) >= 0.95


@pytest.mark.parametrize("widths", [(7, 0, 0, 0), (0, 4, 0, 2), (4, 4, 4, 4)])
def test_rules_along_the_border(widths: tuple[int, ...], digits: list[Picture]) -> None:
    def draw(strokes: Picture) -> Picture:
        picture = 0.9 - 0.6 * strokes
        for turns, width in enumerate(widths):
            np.rot90(picture, turns)[:width] = 0.2
        return picture

    assert share_found(draw, digits) >= 0.95


def test_a_stroke_that_runs_out_of_the_picture(digits: list[Picture]) -> None:
    cut = [strokes[: np.flatnonzero(strokes.any(axis=1))[-1] - 3] for strokes in digits]
    assert share_found(lambda strokes: 0.9 - 0.6 * strokes, cut) >= 0.95


def test_the_lines_of_a_thin_pen_become_dark() -> None:
    picture = np.ones((400, 400))
    picture[100:300, 198:200] = picture[100:102, 100:200] = 0  # a 7
    ink = find_ink(picture)
    assert ink.shape == (20, 10)
    assert ink[1:, -1].min() > 0.5
    assert ink.max() == 1


def test_smooth_edges_stay_smooth() -> None:
    picture = np.full((28, 28), 0.9)
    picture[4:24, 12:16] -= 0.6 * np.array([0.7, 1, 1, 0.7])
    ink = find_ink(picture)
    assert ink[:, 1:3] == pytest.approx(1)
    assert ink[:, [0, 3]] == pytest.approx(0.7 / 0.85)  # 1 is the mean of the ink


def test_photos_are_classified_as_the_images_that_they_show(
    sample: tuple[Picture, ...], trained: Network
) -> None:
    rng = np.random.default_rng(0)
    found = []
    for image in sample[2][:300]:
        photo = 0.9 - 0.3 * rng.random() * SHADE - 0.4 * enlarge(image)
        found.append(as_mnist(find_ink((photo + rng.normal(0, 0.02, photo.shape)).clip(0, 1))))
    same = np.equal(predict(np.array(found), *trained), predict(sample[2][:300], *trained))
    assert np.mean(same) > 0.97


@given(npst.arrays(bool, npst.array_shapes(min_dims=2, max_dims=2, max_side=12)))
def test_parts_are_connected_sideways_and_diagonally(is_ink: Picture) -> None:
    places = {(int(row), int(column)) for row, column in np.argwhere(is_ink)}
    part = connected_parts(is_ink)
    while places:
        reached, waiting = set(), [places.pop()]
        while waiting:
            row, column = waiting.pop()
            reached.add((row, column))
            near = {(row + i - 1, column + j - 1) for i, j in np.ndindex(3, 3)} & places
            places -= near
            waiting.extend(near)
        first = part[next(iter(reached))]
        assert {tuple(place) for place in np.argwhere((part == first) & is_ink)} == reached


@given(npst.arrays(np.uint8, npst.array_shapes(min_dims=2, max_dims=2, max_side=40)))
def test_ink_is_from_0_to_1_and_says_if_there_is_none(picture: Picture) -> None:
    try:
        ink = find_ink(picture)
    except ValueError as error:
        if str(error) != NO_INK:
            raise
        return
    assert ink.dtype == np.float64
    assert max(ink.shape) <= 20
    assert ink.min() >= 0
    assert ink.max() == 1


@pytest.mark.parametrize(
    ("picture", "message"),
    [
        (np.full((200, 100), 0.7), NO_INK),
        (np.zeros((50, 60, 4), np.uint8), NO_INK),
        (0.1 + SHADE / 2 + SHADE[:, np.newaxis] / 3, NO_INK),
        ((50 + 100 * SHADE + np.zeros((140, 1))).astype(np.uint8), NO_INK),
        ((50 + 10 * SHADE[:40] + np.zeros((40, 1))).astype(np.uint8), NO_INK),
        (np.ones((1, 1), bool), NO_INK),
        (np.ones(784), f"{SHAPES}, not (784,)"),
        (np.ones((28, 28, 2)), f"{SHAPES}, not (28, 28, 2)"),
        (np.ones((0, 28)), f"{SHAPES}, not (0, 28)"),
        (np.ones((28, 28), np.int32), "picture must be of type uint8, bool or float, not int32"),
        ([[0.0, 255.0]], "picture must be from 0 to 1 if it is of type float, not from 0 to 255"),
        (
            [[0.5, np.nan]],
            "picture must be from 0 to 1 if it is of type float, not from nan to nan",
        ),
    ],
)
def test_says_what_a_picture_must_be(picture: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        find_ink(picture)
