"""Pictures of one's own digits: each rule of `find_ink`, on pictures made from the sample."""

import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra import numpy as npst
from numpy.typing import NDArray

from import_data import as_mnist, connected_parts, find_ink
from neural_network import Network, predict

Picture = NDArray[Any]
SIDE = 140  # pixels of a picture, which is 28 pixels of MNIST, each enlarged to 5 x 5
ROW, COLUMN = np.indices((SIDE, SIDE)) / (SIDE - 1)


def enlarge(image: Picture) -> Picture:
    return np.kron(image.reshape(28, 28), np.ones((5, 5)))


@pytest.fixture(scope="module")
def digits(sample: tuple[Picture, ...]) -> Picture:
    """Return the strokes of forty digits: 1 in the ink, 0 elsewhere."""
    return np.array([enlarge(image > 0.5) for image in sample[2][:40]])


def assert_found(picture: Picture, strokes: Picture) -> None:
    assert np.abs(as_mnist(find_ink(picture)) - as_mnist(strokes)).mean() < 0.01


def tight(strokes: Picture) -> Picture:
    """Cut a digit out so that it touches all four sides."""
    rows, columns = np.flatnonzero(strokes.any(axis=1)), np.flatnonzero(strokes.any(axis=0))
    return strokes[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def test_dark_ink_on_light_paper_and_light_ink_on_dark_paper(digits: Picture) -> None:
    for strokes in digits:
        assert_found(0.9 - 0.6 * strokes, strokes)
        assert_found(0.2 + 0.1 * strokes, strokes)
        assert_found(strokes == 0, strokes)
        assert_found((255 - 100 * strokes).astype(np.uint8), strokes)


def test_ink_of_any_color(digits: Picture) -> None:
    for strokes in digits[:5]:
        for color in np.eye(3):
            assert_found(1 - strokes[:, :, None] * (1 - color), strokes)
            assert_found(strokes[:, :, None] * color, strokes)


def test_transparency_shows_white_paper(digits: Picture) -> None:
    for strokes in digits[:5]:
        black = np.zeros((SIDE, SIDE, 4), np.uint8)
        black[..., 3] = 255 * strokes
        assert_found(black, strokes)
        half = np.stack([0 * strokes, 0 * strokes, 0 * strokes, strokes / 2], axis=-1)
        assert_found(half, strokes)


def test_a_shadow_may_be_darker_than_the_ink(digits: Picture) -> None:
    for strokes in digits:
        for shadow in (ROW, 1 - COLUMN, (ROW + COLUMN) / 2):
            assert_found(0.9 - 0.6 * shadow - 0.3 * strokes, strokes)


def test_a_shadow_on_a_digit_that_fills_the_picture(digits: Picture) -> None:
    for strokes in map(tight, digits):
        shadow = np.linspace(0, 0.4, len(strokes))[:, np.newaxis]
        assert_found(0.9 - shadow - 0.4 * strokes, strokes)


def test_noise_disappears_in_a_large_picture(digits: Picture) -> None:
    rng = np.random.default_rng(0)
    for strokes in digits[:5]:
        large = np.kron(strokes, np.ones((8, 8)))
        assert_found((0.6 - 0.2 * large + rng.normal(0, 0.1, large.shape)).clip(0, 1), strokes)


def test_a_dark_speck_beside_faint_ink(digits: Picture) -> None:
    for strokes in digits:
        picture = 0.9 - 0.1 * strokes
        picture[4:6, 8:10] = 0
        assert_found(picture, strokes)


def test_a_blot_on_faint_ink(digits: Picture) -> None:
    for strokes in digits:
        picture = 0.9 - 0.2 * strokes
        row, column = np.argwhere(strokes)[len(np.argwhere(strokes)) // 2]
        picture[row : row + 4, column : column + 4] -= (
            0.6 * strokes[row : row + 4, column : column + 4]
        )
        assert_found(picture, strokes)


def test_rules_along_the_border(digits: Picture) -> None:
    for strokes in digits:
        for sides in ([0], [1, 3], [0, 1, 2, 3]):
            picture = 0.9 - 0.6 * strokes
            for side in sides:
                np.rot90(picture, side)[:4] = 0.2
            assert_found(picture, strokes)
        np.rot90(picture, 1)[:7] = 0.2  # one of the four is thicker
        assert_found(picture, strokes)


def test_a_stroke_that_runs_out_of_the_picture(digits: Picture) -> None:
    for strokes in digits:
        bottom = np.flatnonzero(strokes.any(axis=1))[-1] - 3
        assert_found(0.9 - 0.6 * strokes[:bottom], strokes[:bottom])


def test_a_digit_that_fills_the_picture(digits: Picture) -> None:
    for strokes in map(tight, digits):
        assert_found(1 - strokes, strokes)
        assert_found(strokes, strokes)


def test_the_lines_of_a_thin_pen_become_as_dark_as_those_of_mnist() -> None:
    picture = np.ones((400, 400))
    picture[100:300, 200] = picture[100, 100:200] = 0  # a 7
    ink = find_ink(picture)
    assert ink.shape == (20, 10)
    assert ink[1:, -1] == pytest.approx(1)


def test_photos_are_classified_as_the_images_that_they_show(
    sample: tuple[Picture, ...], trained: Network
) -> None:
    rng = np.random.default_rng(0)
    shown, found = predict(sample[2][:300], *trained), []
    for image in sample[2][:300]:
        photo = 0.9 - 0.3 * rng.random() * ROW - 0.4 * enlarge(image)
        found.append(
            predict(as_mnist(find_ink(photo + rng.normal(0, 0.02, photo.shape))), *trained)
        )
    assert np.mean(shown == np.array(found)) >= 0.97


def flood(is_ink: Picture, start: tuple[int, int]) -> Iterator[tuple[int, int]]:
    seen, waiting = {start}, [start]
    while waiting:
        row, column = waiting.pop()
        yield row, column
        for place in np.ndindex(3, 3):
            near = row + place[0] - 1, column + place[1] - 1
            inside = 0 <= near[0] < is_ink.shape[0] and 0 <= near[1] < is_ink.shape[1]
            if inside and near not in seen and is_ink[near]:
                seen.add(near)
                waiting.append(near)


@given(npst.arrays(bool, npst.array_shapes(min_dims=2, max_dims=2, max_side=12)))
def test_parts_are_connected_sideways_and_diagonally(is_ink: Picture) -> None:
    part = connected_parts(is_ink)
    for row, column in np.argwhere(is_ink):
        same = {(int(r), int(c)) for r, c in np.argwhere(part == part[row, column])}
        assert same == set(flood(is_ink, (int(row), int(column))))


@given(npst.arrays(np.uint8, npst.array_shapes(min_dims=2, max_dims=2, max_side=40)))
def test_any_picture_with_two_brightnesses_has_ink(picture: Picture) -> None:
    picture.flat[: picture.size // 2] //= 8
    picture[0, 0], picture[-1, -1] = 0, 255
    ink = find_ink(np.kron(picture, np.ones((3, 3), np.uint8)))
    assert ink.dtype == np.float64
    assert max(ink.shape) <= 20
    assert ink.min() >= 0
    assert ink.max() == 1


NO_INK = "picture must have ink that is darker or lighter than its paper"
SHAPES = "picture must have the shape (height, width), (height, width, 3) or (height, width, 4)"


@pytest.mark.parametrize(
    ("picture", "message"),
    [
        (np.full((200, 100), 0.7), NO_INK),
        (np.zeros((50, 60, 4), np.uint8), NO_INK),
        (0.1 + ROW / 2 + COLUMN / 3, NO_INK),
        ((50 + 100 * ROW).astype(np.uint8), NO_INK),
        ((50 + 10 * ROW[:40, :40]).astype(np.uint8), NO_INK),
        (np.ones((1, 1), bool), NO_INK),
        (np.ones(784), f"{SHAPES}, not (784,)"),
        (np.ones((28, 28, 2)), f"{SHAPES}, not (28, 28, 2)"),
        (np.ones((0, 28)), f"{SHAPES}, not (0, 28)"),
        (np.ones((28, 28), int), "picture must be of type uint8, bool or float, not int64"),
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
