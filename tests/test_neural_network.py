"""Tests of the network: every formula, every rule of the training, and the interface."""

import inspect
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

import import_data
import neural_network
from neural_network import (
    Array,
    Network,
    backpropagation,
    compute_error,
    forward_propagation,
    initialize_weights_and_biases,
    predict,
    sigmoid,
    train,
)

Sample = tuple[Array, Array, Array, Array]


def small_network(dtype: Any = np.float64) -> Network:
    """Return a 6-5-3 network of moderate random weights."""
    rng = np.random.default_rng(1)
    shapes = ((6, 5), (5, 3), (5,), (3,))
    return Network(*(rng.normal(size=shape).astype(dtype) for shape in shapes))


def small_batch(size: int | None, dtype: Any = np.float64) -> tuple[Array, Array]:
    """Return images of 6 pixels and their labels: a batch, or one image if the size is None."""
    rng = np.random.default_rng(2)
    img = rng.random((size or 1, 6)).astype(dtype)
    label = np.eye(3, dtype=dtype)[rng.integers(0, 3, size or 1)]
    return (img, label) if size else (img[0], label[0])


def plain_forward(pixels: Array, network: Network) -> tuple[list[float], list[float]]:
    """Compute the activations of both layers in plain Python, one number at a time."""

    def layer(inputs: Any, weights: Array, biases: Array) -> list[float]:
        return [
            1 / (1 + math.exp(-bias - sum(x * w for x, w in zip(inputs, column, strict=True))))
            for column, bias in zip(weights.T, biases, strict=True)
        ]

    hidden = layer(pixels, network[0], network[2])
    return hidden, layer(hidden, network[1], network[3])


def cross_entropy(img: Array, label: Array, network: Network) -> float:
    """Compute the mean cross-entropy of one image or a batch in plain Python."""
    img, label = np.atleast_2d(img), np.atleast_2d(label)
    total = 0.0
    for pixels, wanted in zip(img, label, strict=True):
        for o, y in zip(plain_forward(pixels, network)[1], wanted, strict=True):
            total -= y * math.log(o) + (1 - y) * math.log(1 - o)
    return total / len(img)


def step(img: Array, label: Array, network: Network, learning_rate: float = 0.5) -> None:
    """Propagate forward and take one step of backpropagation."""
    outputs = forward_propagation(img, *network)
    backpropagation(img, label, *outputs, **network._asdict(), learning_rate=learning_rate)


NETWORK = "weights_input_to_hidden weights_hidden_to_output biases_hidden biases_output"


@pytest.mark.parametrize(
    ("function", "parameters"),
    [
        (import_data.get_data, "split"),
        (import_data.as_mnist, "picture"),
        (initialize_weights_and_biases, ""),
        (sigmoid, "x"),
        (forward_propagation, f"img {NETWORK}"),
        (compute_error, "output label"),
        (
            backpropagation,
            "img label hidden_layer_output output_layer_output "
            "weights_hidden_to_output biases_output biases_hidden weights_input_to_hidden",
        ),
        (train, "images labels"),
        (predict, f"img {NETWORK}"),
    ],
)
def test_interface(function: Callable[..., Any], parameters: str) -> None:
    found = inspect.signature(function).parameters.values()
    assert [p.name for p in found if p.kind is not p.KEYWORD_ONLY] == parameters.split()
    assert all(p.default is not p.empty for p in found if p.kind is p.KEYWORD_ONLY)


class TestInitializeWeightsAndBiases:
    def test_shapes_and_dtypes(self) -> None:
        network = initialize_weights_and_biases(hidden_nodes=7)
        assert [array.shape for array in network] == [(784, 7), (7, 10), (7,), (10,)]
        assert {array.dtype for array in network} == {np.dtype(np.float32)}

    def test_only_the_same_seed_gives_the_same_weights(self) -> None:
        seeds = (3, np.random.default_rng(3), 4, None, None)
        networks = [initialize_weights_and_biases(seed=seed) for seed in seeds]
        for layer in (0, 1):
            same, again, *others = (network[layer].tobytes() for network in networks)
            assert same == again
            assert len({same, *others}) == 4

    def test_weights_fit_the_number_of_inputs_and_biases_are_minus_2(self) -> None:
        weights_input_to_hidden, weights_hidden_to_output, *biases = initialize_weights_and_biases(
            hidden_nodes=500, seed=0
        )
        for weights in (weights_input_to_hidden, weights_hidden_to_output):
            assert weights.std() * math.sqrt(len(weights)) == pytest.approx(1, abs=0.03)
            assert weights.mean() == pytest.approx(0, abs=0.003)
        assert set(np.concatenate(biases)) == {-2}


class TestSigmoid:
    @given(st.floats(-700, 700))
    def test_agrees_with_the_formula(self, x: float) -> None:
        assert sigmoid(np.array([x]))[0] == pytest.approx(1 / (1 + math.exp(-x)), abs=1e-15)

    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    def test_no_finite_number_overflows_or_warns(self, dtype: type) -> None:
        largest, smallest = np.finfo(dtype).max, np.finfo(dtype).smallest_subnormal
        with np.errstate(over="raise", invalid="raise", divide="raise"):
            result = sigmoid(np.array([-largest, -smallest, 0, smallest, largest], dtype))
        assert result.tolist() == [0, 0.5, 0.5, 0.5, 1]

    @given(npst.arrays(npst.floating_dtypes(sizes=(32, 64), endianness="="), npst.array_shapes()))
    def test_keeps_shape_and_dtype_and_what_is_not_a_number(self, x: Array) -> None:
        before = x.copy()
        result = sigmoid(x)
        assert np.array_equal(x, before, equal_nan=True)
        assert (result.shape, result.dtype) == (x.shape, x.dtype)
        assert np.array_equal(np.isnan(result), np.isnan(x))


class TestForwardPropagation:
    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    def test_agrees_with_plain_python_for_one_image_and_for_a_batch(self, dtype: type) -> None:
        network = small_network(dtype)
        img, _ = small_batch(4, dtype)
        batch = forward_propagation(img, *network)
        assert [output.shape for output in batch] == [(4, 5), (4, 3)]
        assert {output.dtype for output in batch} == {np.dtype(dtype)}
        for index, pixels in enumerate(img):
            one = forward_propagation(pixels, *network)
            for plain, of_one, of_batch in zip(
                plain_forward(pixels, network), one, batch, strict=True
            ):
                assert of_one == pytest.approx(plain, rel=1e-5)
                assert of_batch[index] == pytest.approx(plain, rel=1e-5)

    def test_a_wrong_number_of_pixels_is_a_value_error(self) -> None:
        with pytest.raises(ValueError, match="6"):
            forward_propagation(np.zeros((2, 7)), *small_network())


class TestPredict:
    def test_is_the_digit_with_the_highest_output(self) -> None:
        network = small_network()
        img = small_batch(20)[0] * 10 - 5
        digits = predict(img, *network)
        assert isinstance(digits, np.ndarray)
        assert digits.dtype.kind == "i"
        assert len(set(digits.tolist())) > 1
        for pixels, digit in zip(img, digits, strict=True):
            _, outputs = plain_forward(pixels, network)
            assert outputs[digit] == max(outputs)
            assert predict(pixels, *network) == digit
            assert type(predict(pixels, *network)) is int


class TestComputeError:
    def test_is_the_mean_of_the_squares(self) -> None:
        output, label = np.array([0.5, 0.25], np.float32), np.array([1, 0])
        assert type(compute_error(output, label)) is float
        assert compute_error(output, label) == (0.25 + 0.0625) / 2
        assert compute_error(np.stack([output, label]), np.stack([label, label])) == 0.3125 / 4
        assert math.isnan(compute_error(np.array([np.nan, 0]), label))

    def test_another_shape_is_a_value_error(self) -> None:
        with pytest.raises(ValueError, match=r"same shape, not \(2, 10\) and \(10,\)"):
            compute_error(np.zeros((2, 10)), np.zeros(10))


class TestBackpropagation:
    @pytest.mark.parametrize("size", [None, 1, 4])
    def test_the_step_is_the_gradient_by_central_differences(self, size: int | None) -> None:
        img, label = small_batch(size)
        network = small_network()
        changed = Network(*(array.copy() for array in network))
        step(img, label, changed, learning_rate=0.3)
        for array, changed_array in zip(network, changed, strict=True):
            for position in np.ndindex(array.shape):
                kept = array[position]
                errors = []
                for difference in (1e-5, -1e-5):
                    array[position] = kept + difference
                    errors.append(cross_entropy(img, label, network))
                array[position] = kept
                gradient = (errors[0] - errors[1]) / 2e-5
                taken = changed_array[position] - kept
                assert taken == pytest.approx(-0.3 * gradient, rel=1e-6, abs=1e-9)

    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    def test_changes_the_network_in_place_and_nothing_else(self, dtype: type) -> None:
        img, label = small_batch(4, dtype)
        network = small_network(dtype)
        outputs = forward_propagation(img, *network)
        for array in (img, label, *outputs):
            array.flags.writeable = False
        before = [array.copy() for array in network]
        backpropagation(img, label, *outputs, network[1], network[3], network[2], network[0])
        assert {array.dtype for array in network} == {np.dtype(dtype)}
        assert all((array != old).all() for array, old in zip(network, before, strict=True))

    def test_a_learning_rate_of_another_dtype_does_not_change_how_it_computes(self) -> None:
        img, label = small_batch(4, np.float32)
        network, other = small_network(np.float32), small_network(np.float32)
        step(img, label, network, learning_rate=0.3)
        step(img, label, other, learning_rate=np.float64(0.3))
        assert all(map(np.array_equal, network, other))

    @pytest.mark.parametrize("shape", [(3,), (4, 1), (1, 3)])
    def test_labels_of_another_shape_change_nothing(self, shape: tuple[int, ...]) -> None:
        network = small_network()
        with pytest.raises(ValueError, match="same shape, not"):
            step(small_batch(4)[0], np.ones(shape), network)
        assert all(map(np.array_equal, network, small_network()))


def last_pixel(value: float) -> Array:
    """Return three black images but for their very last pixel."""
    images = np.zeros((3, 784))
    images[-1, -1] = value
    return images


def last_label(first: float, second: float) -> Array:
    """Return three one-hot labels, but for these two elements of the last one."""
    labels = np.eye(10)[:3]
    labels[-1] = [first, second, *[0] * 8]
    return labels


class Step(NamedTuple):
    """What `train` did in one step."""

    rows: list[int]  # the images of the batch
    down: int  # by how many rows the digits seem to have moved in the window
    right: int  # and by how many columns
    pixels: Array
    outputs: Array
    learning_rate: float


MOVES = ((0, 0), (0, 1), (0, -1), (1, 0), (-1, 0))  # stay, or one pixel right, left, down, up
MARKER = 1 * 28 + 1  # in the window: a pixel that no digit reaches, and that stays in it


@pytest.fixture
def marked(sample: Sample) -> tuple[Array, Array]:
    """Return 900 images of the sample with a pixel that tells which image it is, and the labels."""
    images, labels, *_ = sample
    images = images[:900].copy()
    images[:, 3 * 28 + MARKER] = np.arange(100, 1000) / 1000
    return images, labels[:900]


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[Step]:
    """Return a list to which `train` adds its steps on marked images."""
    steps: list[Step] = []

    def recorded(
        img: Array, label: Array, *outputs: Array, learning_rate: float, **network: Array
    ) -> None:
        pixels = img * 0.3081 + 0.1307
        ((down, right, marks),) = [
            (down, right, marks)
            for down, right in MOVES
            if (marks := pixels[:, MARKER + 28 * down + right]).min() > 0.05
        ]
        rows = np.rint(marks * 1000).astype(int) - 100
        steps.append(Step(rows.tolist(), down, right, pixels, outputs[1].copy(), learning_rate))
        backpropagation(img, label, *outputs, learning_rate=learning_rate, **network)

    monkeypatch.setattr(neural_network, "backpropagation", recorded)
    return steps


class TestTrain:
    def test_learns_to_read_digits_it_has_never_seen(
        self, sample: Sample, trained: Network
    ) -> None:
        _, _, test_images, test_labels = sample
        assert np.mean(predict(test_images, *trained) == test_labels.argmax(axis=1)) > 0.94

    def test_an_epoch_takes_the_images_whose_latest_outputs_are_not_near_enough_to_their_label(
        self, marked: tuple[Array, Array], steps: list[Step]
    ) -> None:
        images, labels = marked
        reports: list[tuple[int, ...]] = []
        latest = np.zeros((900, 10), np.float32)

        def report(*numbers_and_outputs: Any) -> None:
            *numbers, outputs = numbers_and_outputs
            reports.append(tuple(numbers))
            latest[steps[-1].rows] = steps[-1].outputs
            assert np.array_equal(outputs, latest)

        train(images, labels, epochs=6, seed=0, report=report)
        epochs = []
        latest[:] = 0
        for epoch in range(1, 7):
            tolerance = 0.5 / epoch
            expected = np.flatnonzero(np.abs(latest - labels).max(axis=1) >= tolerance)
            taken = [
                step for step, numbers in zip(steps, reports, strict=True) if numbers[0] == epoch
            ]
            rows = [row for step in taken for row in step.rows]
            assert sorted(rows) == expected.tolist()
            assert [len(step.rows) for step in taken[:-1]] == [64] * (len(taken) - 1)
            done = np.cumsum([len(step.rows) for step in taken])
            assert [n for n in reports if n[0] == epoch] == [(epoch, 6, d, len(rows)) for d in done]
            for step in taken:
                latest[step.rows] = step.outputs
            epochs.append(rows)
        assert len(epochs[0]) == 900  # all in the first epoch,
        assert 100 < len(epochs[5]) < 800  # some are left out later,
        assert set(epochs[5]) - set(epochs[4])  # some come back,
        common = set(epochs[0]) & set(epochs[1])  # and the order is another each time
        orders = [[row for row in rows if row in common] for rows in epochs[:2]]
        assert orders[0] != orders[1] != sorted(common) != orders[0]

    def test_the_learning_rate_falls_in_equal_parts_from_epoch_to_epoch(
        self, marked: tuple[Array, Array], steps: list[Step], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(neural_network, "TOLERANCE", -1)  # all images in all epochs
        train(marked[0][:128], marked[1][:128], epochs=3, learning_rate=0.8, seed=0)
        expected = [0.8, 0.8, 0.42, 0.42, 0.04, 0.04]
        assert [step.learning_rate for step in steps] == pytest.approx(expected)

    def test_the_window_is_the_middle_rows_and_moves_by_a_pixel_at_most(
        self, marked: tuple[Array, Array], steps: list[Step], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(neural_network, "BATCH_SIZE", 3)
        train(*marked, epochs=1, seed=0)
        for step in steps:
            # The digits move against the window: where they moved down, it has moved up.
            start = 28 * (3 - step.down) - step.right
            assert step.pixels == pytest.approx(marked[0][step.rows, start : start + 616], abs=1e-5)
        moves = [(step.down, step.right) for step in steps]
        for move in MOVES:
            assert 0.1 < moves.count(move) / len(moves) < 0.3

    def test_what_is_returned_takes_pixels_as_they_are_and_ignores_the_margin(
        self, sample: Sample
    ) -> None:
        images, labels = sample[0][:20], sample[1][:20]
        network = train(images, labels, hidden_nodes=9, seed=0, epochs=1, learning_rate=0)
        initial = initialize_weights_and_biases(hidden_nodes=9, seed=0)
        initial[0][:84] = initial[0][700:] = 0
        standardized = (images - 0.1307) / 0.3081
        for output, wanted in zip(
            forward_propagation(images, *network),
            forward_propagation(standardized, *initial),
            strict=True,
        ):
            assert output == pytest.approx(wanted, abs=1e-5)
        assert not network[0][:84].any()
        assert not network[0][700:].any()

    def test_only_the_same_seed_gives_the_same_network_bit_for_bit(self, sample: Sample) -> None:
        images, labels = sample[0][:200], sample[1][:200]
        one, same, other = (train(images, labels, seed=seed, epochs=2) for seed in (5, 5, 6))
        for array, same_array, other_array in zip(one, same, other, strict=True):
            assert np.array_equal(array, same_array)
            assert not np.array_equal(array, other_array)

    def test_computes_in_float32_whatever_it_is_given_and_leaves_that_alone(
        self, sample: Sample
    ) -> None:
        images, labels = sample[0][:70], sample[1][:70]
        images.flags.writeable = labels.flags.writeable = False
        expected = train(images, labels, seed=0, epochs=2, hidden_nodes=5)
        assert [array.shape for array in expected] == [(784, 5), (5, 10), (5,), (10,)]
        others: Any = (
            (images.astype(np.float64), np.eye(10)[labels.argmax(axis=1)]),
            (images.tolist(), labels.astype(int)),
        )
        for other in others:
            rate = np.float64(neural_network.LEARNING_RATE)
            network = train(*other, seed=0, epochs=2, hidden_nodes=5, learning_rate=rate)
            for array, wanted in zip(network, expected, strict=True):
                assert array.dtype == np.float32
                assert np.array_equal(array, wanted)

    def test_no_epochs_are_no_training(self, sample: Sample) -> None:
        images, labels = sample[0][:20], sample[1][:20]
        reports: list[Any] = []
        train(images, labels, epochs=0, report=lambda *numbers: reports.append(numbers))
        assert reports == []

    def test_an_epoch_may_have_no_images(
        self, sample: Sample, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(
            neural_network, "TOLERANCE", 2
        )  # in the first epoch all are near enough
        epochs: list[int] = []
        train(
            sample[0][:10], sample[1][:10], epochs=2, report=lambda epoch, *_: epochs.append(epoch)
        )
        assert epochs == [2]

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"images": np.zeros((3, 783))}, r"images must have shape \(N, 784\), .* \(3, 783\)"),
            ({"images": np.zeros(784)}, r"images must have shape .*, not \(784,\)"),
            ({"images": np.zeros((0, 784))}, r"images must have shape .*, not \(0, 784\)"),
            (
                {"images": last_pixel(255).astype(np.uint8)},
                r"pixels must be from 0 to 1, .* from 0 to 255; divide them by 255\?$",
            ),
            ({"images": last_pixel(1.5)}, r"from 0 to 1.5; divide them by 255\?$"),
            ({"images": last_pixel(-0.1)}, r"pixels must be from 0 to 1, .* from -0.1 to 0$"),
            ({"images": last_pixel(np.nan)}, "none NaN; they are from nan to nan$"),
            ({"labels": np.eye(10)[:2]}, r"labels must have shape \(3, 10\), not \(2, 10\)"),
            ({"labels": np.array([5, 0, 4])}, r"labels must have shape \(3, 10\), not \(3,\)"),
            ({"labels": last_label(0, 0)}, "labels must be one-hot"),
            ({"labels": last_label(1, 1)}, "labels must be one-hot"),
            ({"labels": last_label(0.5, 0.5)}, "labels must be one-hot"),
            ({"labels": last_label(0, np.nan)}, "labels must be one-hot"),
        ],
    )
    def test_says_what_images_and_labels_must_be(
        self, changes: dict[str, Array], message: str
    ) -> None:
        good: dict[str, Any] = {"images": last_pixel(1), "labels": last_label(0, 1)}
        train(**good, epochs=1, hidden_nodes=1)
        with pytest.raises(ValueError, match=message):
            train(**(good | changes))
