"""Tests of `find_ink` and `as_mnist`: each rule, on pictures made from the sample's digits."""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from numpy.typing import NDArray

from import_data import as_mnist, connected_components, find_ink, fit
from neural_network import Network, predict

Picture = NDArray[Any]
SHADE = np.linspace(0, 1, 140)  # across a picture: 28 pixels of MNIST, each 5 x 5


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
    """Return the share of digits for which `find_ink` finds the strokes and nothing more."""
    differences = [as_mnist(find_ink(draw(digit))) - as_mnist(digit) for digit in digits]
    return float(np.mean([np.abs(difference).mean() < 0.02 for difference in differences]))


class TestFindInk:
    @pytest.mark.parametrize(
        "draw",
        [
            lambda strokes: 0.9 - 0.6 * strokes,
            lambda strokes: 0.2 + 0.1 * strokes,
            lambda strokes: strokes == 0,
            lambda strokes: (255 - 100 * strokes).astype(np.uint8),
        ],
    )
    def test_ink_may_be_darker_or_lighter_than_the_paper(
        self, draw: Callable[[Picture], Picture], digits: list[Picture]
    ) -> None:
        assert share_found(draw, digits) == 1

    @pytest.mark.parametrize("color", np.eye(3))
    def test_ink_and_paper_may_have_any_color(self, color: Picture, digits: list[Picture]) -> None:
        assert share_found(lambda strokes: 1 - strokes[:, :, np.newaxis] * color, digits) == 1
        assert share_found(lambda strokes: strokes[:, :, np.newaxis] * color, digits) == 1

    def test_transparent_pixels_are_white(self, digits: list[Picture]) -> None:
        def draw(strokes: Picture) -> Picture:
            return strokes[:, :, np.newaxis] * np.array([0, 0, 0, 1])

        assert share_found(draw, digits) == 1
        assert share_found(lambda strokes: (255 * draw(strokes)).astype(np.uint8), digits) == 1

    def test_the_light_may_fall_off_by_more_than_the_contrast(self, digits: list[Picture]) -> None:
        shade = 0.9 - 0.6 * SHADE
        assert share_found(lambda strokes: shade - 0.3 * strokes, digits) == 1
        assert share_found(lambda strokes: shade[:, np.newaxis] - 0.3 * strokes, digits) == 1

    def test_the_light_may_fall_off_on_a_digit_that_fills_the_picture(
        self, digits: list[Picture]
    ) -> None:
        def draw(strokes: Picture) -> Picture:
            ink = cut_out(strokes)
            return 0.9 - 0.4 * SHADE[: len(ink), np.newaxis] - 0.4 * ink

        assert share_found(draw, digits) >= 0.95

    def test_a_digit_may_fill_the_picture(self, digits: list[Picture]) -> None:
        assert share_found(lambda strokes: 1 - cut_out(strokes), digits) >= 0.95
        assert share_found(cut_out, digits) >= 0.9

    def test_a_digit_may_be_small(self, digits: list[Picture]) -> None:
        def draw(strokes: Picture) -> Picture:
            picture = np.full((280, 280), 0.8)
            picture[130:270, 10:150] -= 0.5 * strokes
            return picture

        assert share_found(draw, digits) == 1

    def test_a_digit_may_be_a_fifth_of_a_large_picture(self, digits: list[Picture]) -> None:
        differences = []
        for strokes in digits:
            picture = np.full((500, 500), 0.8)
            picture[20:160, 20:160] -= 0.5 * strokes
            differences.append(np.abs(as_mnist(find_ink(picture)) - as_mnist(strokes)).mean())
        assert np.mean(differences) < 0.05

    def test_noise_is_averaged_away_in_a_large_picture(self, digits: list[Picture]) -> None:
        noise = np.random.default_rng(0).normal(0, 0.1, (1120, 1120))

        def draw(strokes: Picture) -> Picture:
            return (0.6 - 0.2 * np.kron(strokes, np.ones((8, 8))) + noise).clip(0, 1)

        assert share_found(draw, digits[:5]) == 1

    @pytest.mark.parametrize(("contrast", "deviation"), [(40, 8), (160, 40)])
    def test_faint_or_noisy_ink_is_not_taken_for_blank_paper(
        self, sample: tuple[Picture, ...], contrast: float, deviation: float
    ) -> None:
        rng = np.random.default_rng(0)
        refused = 0
        for image in sample[2][:40]:
            picture = 200 - contrast * fit(image.reshape(28, 28), 100)
            picture += rng.normal(0, deviation, picture.shape)
            try:
                find_ink(picture.clip(0, 255).astype(np.uint8))
            except ValueError:
                refused += 1
        assert refused <= 1

    def test_a_dark_speck_is_left_out_beside_faint_ink(self, digits: list[Picture]) -> None:
        def draw(strokes: Picture) -> Picture:
            picture = 0.9 - 0.1 * strokes
            picture[4:6, 8:10] = 0
            return picture

        assert share_found(draw, digits) >= 0.95

    def test_a_small_speck_is_left_out_and_a_separate_stroke_is_kept(self) -> None:
        picture = np.ones((112, 112))
        picture[24:88, 40:48] = 0
        picture[40:44, 64:68] = 0  # has a twenty-fifth of the weight of the long stroke
        assert find_ink(picture).shape == (20, 2)
        picture[40:45, 64:69] = 0  # a sixteenth
        assert find_ink(picture).shape == (20, 9)

    def test_a_blot_leaves_the_rest_of_the_ink_dark(self, digits: list[Picture]) -> None:
        def draw(strokes: Picture) -> Picture:
            row, column = np.argwhere(strokes)[np.count_nonzero(strokes) // 2]
            blot = np.s_[row : row + 4, column : column + 4]
            picture = 0.9 - 0.2 * strokes
            picture[blot] -= 0.6 * strokes[blot]
            return picture

        assert share_found(draw, digits) >= 0.95

    @pytest.mark.parametrize("widths", [(7, 0, 0, 0), (0, 4, 0, 2), (4, 4, 4, 4)])
    def test_the_lines_of_a_form_along_the_border_are_left_out(
        self, widths: tuple[int, ...], digits: list[Picture]
    ) -> None:
        def draw(strokes: Picture) -> Picture:
            picture = 0.9 - 0.6 * strokes
            for turns, width in enumerate(widths):
                np.rot90(picture, turns)[:width] = 0.2
            return picture

        assert share_found(draw, digits) >= 0.95

    def test_the_frame_of_a_form_is_left_out_around_most_digits(
        self, digits: list[Picture]
    ) -> None:
        def draw(strokes: Picture) -> Picture:
            picture = np.full((140, 140), 0.9)
            picture[10:130, 10:130] = 0.2
            picture[12:128, 12:128] = (0.9 - 0.6 * strokes)[12:128, 12:128]
            return picture

        assert share_found(draw, digits) >= 0.65

    def test_a_stroke_may_run_out_of_the_picture(self, digits: list[Picture]) -> None:
        cut = [strokes[: np.flatnonzero(strokes.any(axis=1))[-1] - 3] for strokes in digits]
        assert share_found(lambda strokes: 0.9 - 0.6 * strokes, cut) >= 0.95

    def test_the_lines_of_a_thin_pen_become_full_ink(self) -> None:
        picture = np.ones((400, 400))
        picture[100:300, 198:200] = picture[100:102, 100:200] = 0  # a 7
        picture[100:106, 194:200] = 0  # where the lines meet, the pen rested
        ink = find_ink(picture)
        assert ink.shape == (20, 10)
        assert ink[2:-1, -1].min() > 0.9

    def test_smooth_edges_stay_smooth(self) -> None:
        picture = np.full((28, 28), 0.9)
        picture[4:24, 12:16] -= 0.6 * np.array([0.7, 1, 1, 0.7])
        ink = find_ink(picture)
        assert ink[:, 1:3] == pytest.approx(1)
        assert ink[:, [0, 3]] == pytest.approx(0.7 / 0.85)  # 1 is the mean of the ink

    def test_photos_are_classified_as_the_images_that_they_show(
        self, sample: tuple[Picture, ...], trained: Network
    ) -> None:
        rng = np.random.default_rng(0)
        found = []
        for image in sample[2][:300]:
            photo = 0.9 - 0.3 * rng.random() * SHADE - 0.4 * enlarge(image)
            found.append(as_mnist(find_ink((photo + rng.normal(0, 0.02, photo.shape)).clip(0, 1))))
        same = np.equal(predict(np.array(found), *trained), predict(sample[2][:300], *trained))
        assert np.mean(same) > 0.97

    @given(npst.arrays(np.uint8, npst.array_shapes(min_dims=2, max_dims=2, max_side=40)))
    def test_ink_is_from_0_to_1_unless_nothing_stands_out(self, picture: Picture) -> None:
        try:
            ink = find_ink(picture)
        except ValueError as error:
            if str(error) != NO_INK:
                raise
            return
        assert ink.dtype == np.float64
        assert max(ink.shape) == 20
        assert ink.min() >= 0
        assert ink.max() == 1


NO_INK = "picture must have ink that stands out from evenly lit paper"


def blank_paper(kind: str, seed: int) -> Picture:
    """Return an 8-bit picture of one of six kinds of blank paper, of random strength."""
    rng = np.random.default_rng(seed)
    strength = rng.uniform(0.2, 1)
    down, right = np.meshgrid(np.linspace(-1, 1, 160), np.linspace(-1, 1, 120), indexing="ij")
    angle = rng.uniform(0, 2 * np.pi)
    across = np.cos(angle) * right + np.sin(angle) * down
    features = {
        "noise": rng.normal(0, 0.05, down.shape),
        "slope": 0.2 * across,
        "vignette": -0.15 * (down**2 + right**2),
        "texture": fit(rng.normal(0, 0.06, (40, 30)), 160),  # in spots of 4 x 4 pixels
        "soft shadow": 0.15 * np.tanh(2 * across),
        "overexposed": 0.4 + rng.normal(0, 0.05, down.shape),
    }[kind]
    paper = 0.7 + strength * features + rng.normal(0, 0.01, down.shape)
    return np.rint(255 * paper).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize(
    "kind", ["noise", "slope", "vignette", "texture", "soft shadow", "overexposed"]
)
def test_blank_paper_is_an_error(kind: str) -> None:
    for seed in range(10):
        with pytest.raises(ValueError, match=f"^{NO_INK}$"):
            find_ink(blank_paper(kind, seed))


SHAPES = "picture must have shape (height, width), (height, width, 3) or (height, width, 4)"
VALUES = "picture must have dtype uint8 or values from 0 to 1"


@pytest.mark.parametrize(
    ("picture", "message"),
    [
        (np.zeros((200, 100), np.uint8), NO_INK),  # black
        (np.full((200, 100), 255, np.uint8), NO_INK),  # white
        (np.full((200, 100), 0.7), NO_INK),
        (np.zeros((50, 60, 4), np.uint8), NO_INK),  # transparent
        (0.1 + SHADE / 2 + SHADE[:, np.newaxis] / 3, NO_INK),
        ((50 + 10 * SHADE[:40] + np.zeros((40, 1))).astype(np.uint8), NO_INK),  # in 11 steps
        (np.ones((1, 1), bool), NO_INK),
        (np.ones(784), f"{SHAPES}, not (784,)"),
        (np.ones((28, 28, 2)), f"{SHAPES}, not (28, 28, 2)"),
        (np.ones((0, 28)), f"{SHAPES}, not (0, 28)"),
        (np.array([[0, 255]], np.int32), f"{VALUES}, not from 0 to 255"),
        ([[0.5, -0.1]], f"{VALUES}, not from -0.1 to 0.5"),
        ([[0.5, np.nan]], f"{VALUES}, not from nan to nan"),
    ],
)
def test_find_ink_says_what_a_picture_must_be(picture: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        find_ink(picture)


@given(npst.arrays(bool, npst.array_shapes(min_dims=2, max_dims=2, max_side=12)))
def test_components_are_connected_sideways_and_diagonally(is_ink: Picture) -> None:
    component = connected_components(is_ink)
    assert np.array_equal(component != 0, is_ink)
    places = {(int(row), int(column)) for row, column in np.argwhere(is_ink)}
    while places:
        reached, waiting = set(), [places.pop()]
        while waiting:
            row, column = waiting.pop()
            reached.add((row, column))
            near = {(row + i - 1, column + j - 1) for i, j in np.ndindex(3, 3)} & places
            places -= near
            waiting.extend(near)
        same = component == component[next(iter(reached))]
        assert {tuple(place) for place in np.argwhere(same)} == reached


class TestAsMnist:
    def test_a_digit_of_mnist_is_recovered_from_any_place_and_size(
        self, sample: tuple[Picture, ...]
    ) -> None:
        rng = np.random.default_rng(0)
        for image in sample[2][:200]:
            factor = int(rng.integers(4, 11))
            digit = cut_out(np.kron(image.reshape(28, 28), np.ones((factor, factor))))
            picture = np.zeros((300, 280))
            top, left = rng.integers(np.subtract(picture.shape, digit.shape) + 1)
            picture[top : top + digit.shape[0], left : left + digit.shape[1]] = digit
            assert as_mnist(picture) == pytest.approx(image, abs=1e-6)

    def test_every_pixel_is_the_mean_of_the_area_that_it_covers(self) -> None:
        picture = np.zeros((40, 50))
        picture[5:35, 10:40] = np.arange(30)[:, None] / 60 + np.arange(30) / 60  # 1.5 to a pixel
        image = as_mnist(picture).reshape(28, 28)
        ink = image[image.any(axis=1)][:, image.any(axis=0)]
        assert ink.shape == (20, 20)
        assert ink[0, 0] == pytest.approx((0 + 2 * 0.5 * 1 / 60 + 0.25 * 2 / 60) / 2.25)
        assert ink.mean() == pytest.approx(picture[5:35, 10:40].mean())

    def test_proportions_are_kept(self) -> None:
        image = as_mnist(np.ones((100, 30))).reshape(28, 28)
        assert image.any(axis=1).sum() == 20
        assert image.any(axis=0).sum() == 6
        assert image.sum() == pytest.approx(20 * 6)
        assert as_mnist(np.ones((1, 100))).sum() == pytest.approx(20)  # not less than a pixel

    def test_centering_pushes_no_ink_out_of_the_image(self) -> None:
        picture = np.zeros((200, 200))
        picture[:100, :100] = 1  # the center of mass is in this square,
        picture[190:, 190:] = 1  # so this one would not fit
        image = as_mnist(picture).reshape(28, 28)
        assert image.sum() == pytest.approx(picture.sum() / 100)
        assert image[27, 27] == 1
        assert as_mnist(picture[::-1, ::-1]).reshape(28, 28)[0, 0] == 1

    @given(npst.arrays(float, npst.array_shapes(min_dims=2, max_dims=2), elements=st.floats(0, 1)))
    def test_any_picture_with_ink_becomes_an_image(self, picture: Picture) -> None:
        picture.flat[0] = 1
        image = as_mnist(picture)
        assert image.shape == (784,)
        assert image.dtype == np.float32
        assert 0 <= image.min() < image.max() <= 1

    @pytest.mark.parametrize(
        ("picture", "message"),
        [
            (np.ones(784), "picture must have two dimensions, not 1"),
            (np.ones((28, 28, 3)), "picture must have two dimensions, not 3"),
            (np.zeros((28, 28)), "picture must have some ink: a pixel above 0"),
            (np.zeros((0, 28)), "picture must have some ink: a pixel above 0"),
            ([[0, 255]], "picture must be from 0 to 1, not from 0 to 255"),
            ([[0.5, -0.1]], "picture must be from 0 to 1, not from -0.1 to 0.5"),
            ([[0.5, np.nan]], "picture must be from 0 to 1, not from nan to nan"),
        ],
    )
    def test_says_what_a_picture_must_be(self, picture: Any, message: str) -> None:
        with pytest.raises(ValueError, match=f"^{message}$"):
            as_mnist(picture)
