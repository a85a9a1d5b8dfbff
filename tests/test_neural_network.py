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
    return tuple(rng.normal(size=shape).astype(dtype) for shape in shapes)  # type: ignore[return-value]


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
    weights_input_to_hidden, weights_hidden_to_output, biases_hidden, biases_output = network
    backpropagation(
        img,
        label,
        *forward_propagation(img, *network),
        weights_hidden_to_output,
        biases_output,
        biases_hidden,
        weights_input_to_hidden,
        learning_rate=learning_rate,
    )


NETWORK = "weights_input_to_hidden weights_hidden_to_output biases_hidden biases_output"


@pytest.mark.parametrize(
    ("function", "parameters"),
    [
        (import_data.get_data, "split"),
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

    def test_weighted_inputs_have_a_standard_deviation_of_1_around_the_bias(self) -> None:
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
        with pytest.raises(ValueError, match="shape"):
            compute_error(np.zeros((2, 10)), np.zeros(10))


class TestBackpropagation:
    @pytest.mark.parametrize("size", [None, 1, 4])
    def test_the_step_is_the_gradient_by_central_differences(self, size: int | None) -> None:
        img, label = small_batch(size)
        network = small_network()
        changed = tuple(array.copy() for array in network)
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

    @pytest.mark.parametrize("shape", [(3,), (4, 1), (1, 3)])
    def test_labels_of_another_shape_change_nothing(self, shape: tuple[int, ...]) -> None:
        network = small_network()
        with pytest.raises(ValueError, match="shape"):
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
    shift: int
    pixels: Array
    outputs: Array
    learning_rate: float


MARKER = 4 * 28  # a pixel that no digit reaches, and that stays in sight when it is shifted


@pytest.fixture
def marked(sample: Sample) -> tuple[Array, Array]:
    """Return 900 images of the sample with a pixel that tells which image it is, and the labels."""
    images, labels, *_ = sample
    images = images[:900].copy()
    images[:, MARKER] = np.arange(100, 1000) / 1000
    return images, labels[:900]


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[Step]:
    """Return a list to which `train` adds its steps on marked images."""
    steps: list[Step] = []

    def recorded(img: Array, *arguments: Array, learning_rate: float) -> None:
        pixels = img * 0.3081 + 0.1307
        in_sight = {shift: pixels[:, MARKER - 84 - shift] for shift in (0, -1, 1, -28, 28)}
        ((shift, marks),) = [found for found in in_sight.items() if found[1].max() > 0.05]
        rows = np.rint(marks * 1000).astype(int) - 100
        steps.append(Step(rows.tolist(), shift, pixels, arguments[2].copy(), learning_rate))
        backpropagation(img, *arguments, learning_rate=learning_rate)

    monkeypatch.setattr(neural_network, "backpropagation", recorded)
    return steps


class TestTrain:
    def test_learns_to_read_digits_it_has_never_seen(
        self, sample: Sample, trained: Network
    ) -> None:
        _, _, test_images, test_labels = sample
        assert (predict(test_images, *trained) == test_labels.argmax(axis=1)).mean() >= 0.96

    def test_an_image_is_left_out_once_its_latest_outputs_are_near_its_label(
        self, marked: tuple[Array, Array], steps: list[Step]
    ) -> None:
        images, labels = marked
        reports: list[tuple[int, ...]] = []
        latest = np.full((900, 10), np.inf, np.float32)

        def report(*numbers_and_outputs: Any) -> None:
            *numbers, outputs = numbers_and_outputs
            reports.append(tuple(numbers))
            latest[steps[-1].rows] = steps[-1].outputs
            assert np.array_equal(outputs, latest)

        train(images, labels, epochs=6, seed=0, report=report)
        latest[:] = np.inf
        previous: Any = range(900)
        for epoch in range(1, 7):
            expected = np.flatnonzero(np.abs(latest - labels).max(axis=1) > 1.8 / 6**1.5)
            taken = [
                step for step, numbers in zip(steps, reports, strict=True) if numbers[0] == epoch
            ]
            rows = [row for step in taken for row in step.rows]
            assert rows != [row for row in previous if row in expected]  # another order
            previous = rows
            assert sorted(rows) == expected.tolist()
            assert [len(step.rows) for step in taken[:-1]] == [64] * (len(taken) - 1)
            done = np.cumsum([len(step.rows) for step in taken])
            assert [n for n in reports if n[0] == epoch] == [(epoch, 6, d, len(rows)) for d in done]
            for step in taken:
                latest[step.rows] = step.outputs
        assert 100 < len(rows) < 800

    def test_the_learning_rate_decays_linearly_to_0(
        self, marked: tuple[Array, Array], steps: list[Step], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(neural_network, "TOLERANCE", -1)  # all images in both epochs
        train(marked[0][:128], marked[1][:128], epochs=2, learning_rate=0.8)
        assert [step.learning_rate for step in steps] == pytest.approx([0.8, 0.6, 0.4, 0.2])

    def test_each_batch_is_shifted_by_up_to_a_pixel_at_random(
        self, marked: tuple[Array, Array], steps: list[Step], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(neural_network, "BATCH_SIZE", 3)
        train(*marked, epochs=1)
        for step in steps:
            wanted = marked[0][step.rows, 84 + step.shift : 700 + step.shift]
            assert step.pixels == pytest.approx(wanted, abs=1e-5)
        shifts = [step.shift for step in steps]
        for shift in (0, -1, 1, -28, 28):
            assert 0.1 < shifts.count(shift) / len(shifts) < 0.3

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

    def test_takes_any_floats_and_leaves_them_alone(self, sample: Sample) -> None:
        images, labels = sample[0][:70], sample[1][:70]
        images.flags.writeable = labels.flags.writeable = False
        expected = train(images, labels, seed=0, epochs=2, hidden_nodes=5)
        assert [array.shape for array in expected] == [(784, 5), (5, 10), (5,), (10,)]
        others: Any = (np.asfortranarray(images, np.float64), images.tolist())
        for other in others:
            network = train(other, labels.tolist(), seed=0, epochs=2, hidden_nodes=5)
            for array, wanted in zip(network, expected, strict=True):
                assert array.dtype == np.float32
                assert array == pytest.approx(wanted, abs=1e-3)

    def test_no_epochs_are_no_training(self, sample: Sample) -> None:
        images, labels = sample[0][:20], sample[1][:20]
        reports: list[Any] = []
        train(images, labels, epochs=0, report=lambda *numbers: reports.append(numbers))
        assert reports == []

    def test_may_learn_everything_before_the_last_epoch(
        self, sample: Sample, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(neural_network, "TOLERANCE", 200)  # 0.07 in 200 epochs
        images, labels = sample[0][:10], sample[1][:10]
        epochs: list[int] = []
        network = train(
            images, labels, seed=0, epochs=200, report=lambda epoch, *_: epochs.append(epoch)
        )
        assert 10 < epochs[-1] < 200
        assert (predict(images, *network) == labels.argmax(axis=1)).mean() >= 0.8

    @pytest.mark.parametrize(("count", "expected"), [(19_999, 30), (20_000, 9)])
    def test_fewer_images_more_epochs(self, count: int, expected: int) -> None:
        class FirstReportError(Exception):
            pass

        def report(_epoch: int, epochs: int, *_: object) -> None:
            raise FirstReportError(epochs)

        images = np.broadcast_to(np.float32(0), (count, 784))
        labels = np.broadcast_to(np.eye(10)[0], (count, 10))
        with pytest.raises(FirstReportError, match=str(expected)):
            train(images, labels, hidden_nodes=1, report=report)

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"images": np.zeros((3, 783))}, r"images must have shape \(N, 784\), .* \(3, 783\)"),
            ({"images": np.zeros(784)}, r"images must have shape .*, not \(784,\)"),
            ({"images": np.zeros((0, 784))}, r"images must have shape .*, not \(0, 784\)"),
            ({"images": np.zeros((3, 784), np.uint8)}, "images must be a float array, not uint8"),
            ({"images": last_pixel(255)}, "pixels must be from 0 to 1, but the largest is 255"),
            ({"images": last_pixel(1.5)}, "pixels must be from 0 to 1, but the largest is 1.5"),
            ({"images": last_pixel(-0.1)}, "pixels must be from 0 to 1, but the smallest is -0.1"),
            ({"images": last_pixel(np.nan)}, "images must not contain NaN"),
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
