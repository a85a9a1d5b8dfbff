"""Tests of the network: the formulas, the training techniques, and the interface."""

import inspect
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

import import_data
import neural_network
from neural_network import (
    BATCH_SIZE,
    Array,
    Network,
    absorb_standardization,
    backpropagation,
    compute_error,
    forward_propagation,
    initialize_weights_and_biases,
    learning_rates,
    predict,
    select_unlearned,
    shift_randomly,
    sigmoid,
    split_into_batches,
    standardize,
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
    """Compute the outputs of both layers in plain Python, one number at a time."""

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
    for pixels, labels in zip(img, label, strict=True):
        for o, y in zip(plain_forward(pixels, network)[1], labels, strict=True):
            total -= y * math.log(o) + (1 - y) * math.log(1 - o)
    return total / len(img)


def step(img: Array, label: Array, network: Network, **settings: Any) -> None:
    """Propagate forward and take one step of backpropagation."""
    hidden, output = forward_propagation(img, *network)
    backpropagation(img, label, hidden, output, **network._asdict(), **settings)


def accuracy(network: Network, images: Array, labels: Array) -> float:
    """Return the fraction of the images that a network classifies correctly."""
    return float(np.mean(predict(images, *network) == labels.argmax(axis=1)))


NETWORK = "weights_input_to_hidden weights_hidden_to_output biases_hidden biases_output"


@pytest.mark.parametrize(
    ("function", "parameters"),
    [
        (import_data.get_data, "split"),
        (import_data.find_ink, "picture"),
        (import_data.as_mnist, "picture"),
        (neural_network.show_prediction, "image network label"),
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
        settings: list[dict[str, Any]] = [
            {"seed": 3},
            {"seed": np.random.default_rng(3)},
            {"seed": 4},
            {"seed": None},
            {},
            {},
        ]
        networks = [initialize_weights_and_biases(**seed) for seed in settings]
        for layer in (0, 1):
            same, again, *others = (network[layer].tobytes() for network in networks)
            assert same == again
            assert len({same, *others}) == 5

    def test_weights_are_scaled_by_the_number_of_inputs_and_biases_are_minus_2(self) -> None:
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
    def test_keeps_the_shape_the_dtype_and_nan(self, x: Array) -> None:
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
        assert predict(img[:1], *network).tolist() == digits[:1].tolist()  # type: ignore[union-attr]


class TestComputeError:
    def test_is_the_mean_of_the_squares(self) -> None:
        output, label = np.array([0.5, 0.25], np.float32), np.array([1, 0])
        assert type(compute_error(output, label)) is float
        assert compute_error(output, label) == (0.25 + 0.0625) / 2
        assert compute_error(np.stack([output, label]), np.stack([label, label])) == 0.3125 / 4
        assert math.isnan(compute_error(np.array([np.nan, 0]), label))

    @pytest.mark.parametrize("label", [np.zeros(10), np.zeros((2, 1)), np.zeros((1, 10)), 5])
    def test_a_label_of_a_different_shape_is_a_value_error(self, label: Any) -> None:
        with pytest.raises(ValueError, match=r"^label must have shape \(2, 10\), not \("):
            compute_error(np.zeros((2, 10)), label)


class TestBackpropagation:
    @pytest.mark.parametrize("size", [None, 1, 4])
    def test_the_step_follows_the_numerical_gradient(self, size: int | None) -> None:
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

    @pytest.mark.parametrize("shape", [(3,), (4, 1), (1, 3)])
    def test_labels_of_a_different_shape_change_nothing(self, shape: tuple[int, ...]) -> None:
        network = small_network()
        with pytest.raises(ValueError, match=r"^label must have shape \(4, 3\), not \("):
            step(small_batch(4)[0], np.ones(shape), network)
        assert all(map(np.array_equal, network, small_network()))

    @pytest.mark.parametrize("size", [None, 1, 3])
    def test_more_or_fewer_images_than_labels_change_nothing(self, size: int | None) -> None:
        network = small_network()
        outputs = forward_propagation(small_batch(4)[0], *network)
        with pytest.raises(
            ValueError, match=r"^img must contain as many images as label, 4, not \d$"
        ):
            backpropagation(small_batch(size)[0], small_batch(4)[1], *outputs, **network._asdict())
        assert all(map(np.array_equal, network, small_network()))

    def test_the_defaults_suit_a_plain_loop_over_single_images(self, sample: Sample) -> None:
        network = initialize_weights_and_biases(seed=0)
        for img, label in zip(sample[0], sample[1], strict=True):
            step(img, label, network)
        assert accuracy(network, *sample[2:]) > 0.86

    def test_the_defaults_learn_from_20_000_single_images_of_mnist(self, full_mnist: Path) -> None:
        network = initialize_weights_and_biases(seed=0)
        images, labels = import_data.get_data("train", folder=full_mnist)
        for img, label in zip(images[:20_000], labels, strict=False):
            step(img, label, network)
        assert accuracy(network, *import_data.get_data("test", folder=full_mnist)) > 0.92


class TestTechniques:
    def test_the_learning_rate_falls_linearly_to_a_twentieth(self) -> None:
        assert learning_rates(0.8, 3) == pytest.approx([0.8, 0.42, 0.04])
        assert learning_rates(0.8, 1) == [0.8]
        assert learning_rates(0.8, 0) == []

    def test_an_image_is_selected_unless_all_its_outputs_are_within_the_tolerance(self) -> None:
        labels = np.eye(10)[[3, 3, 3, 3]]
        outputs = labels.copy()
        outputs[1, 3] -= 0.2
        outputs[2, 9] += 0.2
        outputs[3] = 0  # not yet seen
        assert select_unlearned(outputs, labels, 1).tolist() == [3]
        assert select_unlearned(outputs, labels, 2).tolist() == [3]  # the tolerance is 0.25
        assert select_unlearned(outputs, labels, 3).tolist() == [1, 2, 3]

    @given(st.integers(0, 5 * BATCH_SIZE))
    def test_batches_are_of_nearly_equal_size_and_hold_each_image_once(self, count: int) -> None:
        batches = split_into_batches(np.arange(count)[::-1])
        assert len(batches) == math.ceil(count / BATCH_SIZE)
        assert sorted(index for batch in batches for index in batch) == list(range(count))
        sizes = [len(batch) for batch in batches]
        assert max(sizes, default=0) - min(sizes, default=0) <= 1

    def test_the_images_of_a_batch_are_shifted_together_by_at_most_one_pixel(self) -> None:
        images = np.zeros((2, 28, 28))
        images[:, 12, 9] = 1, 0.5
        rng = np.random.default_rng(0)
        places = []
        for _ in range(500):
            shifted = shift_randomly(images.reshape(2, 784), rng).reshape(2, 28, 28)
            ((row, column),) = np.argwhere(shifted[0])
            assert shifted[:, row, column].tolist() == [1, 0.5]
            assert np.count_nonzero(shifted) == 2
            places.append((row, column))
        for place in ((12, 9), (12, 8), (12, 10), (11, 9), (13, 9)):
            assert 70 < places.count(place) < 130

    def test_standardized_pixels_have_mean_0_and_standard_deviation_1(self, sample: Sample) -> None:
        pixels = standardize(sample[0])
        assert pixels.mean() == pytest.approx(0, abs=0.01)
        assert pixels.std() == pytest.approx(1, abs=0.01)

    def test_a_network_that_absorbed_the_standardization_gives_the_same_outputs(self) -> None:
        img = np.random.default_rng(0).random((5, 784))
        network = initialize_weights_and_biases(hidden_nodes=9, seed=0)
        for absorbed, standardized in zip(
            forward_propagation(img, *absorb_standardization(network)),
            forward_propagation(standardize(img), *network),
            strict=True,
        ):
            assert absorbed == pytest.approx(standardized, abs=1e-5)


def last_pixel(value: float) -> Array:
    """Return three blank images, except for the very last pixel."""
    images = np.zeros((3, 784))
    images[-1, -1] = value
    return images


def last_label(first: float, second: float) -> Array:
    """Return three one-hot labels except for these two elements of the last one."""
    labels = np.eye(10)[:3]
    labels[-1] = [first, second, *[0] * 8]
    return labels


class Step(NamedTuple):
    """What `train` did in one step."""

    rows: list[int]  # the images of the batch
    learning_rate: float
    outputs: Array


MARKER = 1 * 28 + 1  # a pixel outside every digit, which a shift moves but does not remove


@pytest.fixture
def marked(sample: Sample) -> tuple[Array, Array]:
    """Return 900 images of the sample, each with a pixel that encodes its index, and the labels."""
    images, labels = sample[0][:900].copy(), sample[1][:900]
    images[:, MARKER] = np.arange(100, 1000) / 1000
    return images, labels


@pytest.fixture
def steps(marked: tuple[Array, Array], monkeypatch: pytest.MonkeyPatch) -> list[Step]:
    """Return a list to which `train` adds its steps on marked images."""
    steps: list[Step] = []

    def recorded(
        img: Array, label: Array, *outputs: Array, learning_rate: float, **network: Array
    ) -> None:
        pixels = img * 0.3081 + 0.1307
        marks = pixels[:, MARKER + np.array([0, -1, 1, -28, 28])].max(axis=1)
        rows = np.rint(marks * 1000).astype(int) - 100
        assert np.array_equal(label, marked[1][rows])
        steps.append(Step(rows.tolist(), learning_rate, outputs[1].copy()))
        backpropagation(img, label, *outputs, learning_rate=learning_rate, **network)

    monkeypatch.setattr(neural_network, "backpropagation", recorded)
    return steps


class TestTrain:
    def test_classifies_digits_that_it_has_never_seen(self, sample: Sample) -> None:
        networks = [train(*sample[:2], seed=seed) for seed in range(3)]
        assert np.mean([accuracy(network, *sample[2:]) for network in networks]) > 0.944

    def test_each_epoch_uses_the_unlearned_images_in_a_new_random_order(
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

        train(images, labels, epochs=6, learning_rate=1, seed=0, report=report)
        epochs = []
        latest[:] = 0
        for epoch, rate in enumerate(learning_rates(1, 6), start=1):
            unlearned = select_unlearned(latest, labels, epoch).tolist()
            taken = [s for s, numbers in zip(steps, reports, strict=True) if numbers[0] == epoch]
            rows = [row for step in taken for row in step.rows]
            assert sorted(rows) == unlearned
            assert taken[0].rows != sorted(taken[0].rows)  # in random order
            assert {step.learning_rate for step in taken} == {rate}
            assert len(taken) == math.ceil(len(rows) / BATCH_SIZE)
            done = np.cumsum([len(step.rows) for step in taken])
            assert [n for n in reports if n[0] == epoch] == [(epoch, d, len(rows)) for d in done]
            for step in taken:
                latest[step.rows] = step.outputs
            epochs.append(rows)
        assert len(epochs[0]) == 900  # the first epoch skips no image,
        assert 100 < len(epochs[5]) < 800  # later ones skip some,
        assert set(epochs[5]) - set(epochs[4])  # and some come back

    def test_batches_are_shifted_and_standardized(
        self, sample: Sample, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        batches: list[Array] = []

        def recorded(img: Array, *network: Array) -> tuple[Array, Array]:
            batches.append(img)
            return forward_propagation(img, *network)

        monkeypatch.setattr(neural_network, "forward_propagation", recorded)
        image = sample[0][:1]
        train(image, sample[1][:1], epochs=100, hidden_nodes=1, learning_rate=0.0001, seed=0)
        versions = [standardize(np.roll(image, pixels)) for pixels in (0, -1, 1, -28, 28)]
        matches = [[np.array_equal(img, version) for version in versions] for img in batches]
        assert np.sum(matches, axis=1).tolist() == [1] * len(batches)
        assert np.any(matches, axis=0).all()

    def test_the_network_takes_pixels_from_0_to_1(self, sample: Sample) -> None:
        settings: dict[str, Any] = {"hidden_nodes": 9, "seed": 0}
        network = train(sample[0][:20], sample[1][:20], epochs=0, **settings)
        initial = initialize_weights_and_biases(**settings)
        assert all(map(np.array_equal, network, absorb_standardization(initial)))

    def test_only_the_same_seed_gives_the_same_network_bit_for_bit(self, sample: Sample) -> None:
        images, labels = sample[0][:200], sample[1][:200]
        seeds: list[dict[str, Any]] = [{"seed": 5}, {"seed": 5}, {"seed": 6}, {}, {}]
        networks = [train(images, labels, epochs=2, **seed) for seed in seeds]
        for array, same, *others in zip(*networks, strict=True):
            assert array.tobytes() == same.tobytes()
            assert len({array.tobytes(), *(other.tobytes() for other in others)}) == 4

    def test_computes_in_float32_whatever_the_dtype_and_leaves_its_arguments_alone(
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
            for array, expected_array in zip(network, expected, strict=True):
                assert array.dtype == np.float32
                assert np.array_equal(array, expected_array)

    def test_an_epoch_may_skip_all_images(
        self, sample: Sample, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(neural_network, "TOLERANCE", 2)  # outputs of 0 are within it in epoch 1
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
                r"^pixels must be from 0 to 1 \(divide by 255\?\), not 0 to 255$",
            ),
            ({"images": last_pixel(1.1)}, "not 0 to 1.1$"),
            ({"images": last_pixel(-0.1)}, "not -0.1 to 0$"),
            ({"images": last_pixel(np.nan)}, "not nan to nan$"),
            ({"labels": np.eye(10)[:2]}, r"labels must have shape \(3, 10\), not \(2, 10\)"),
            ({"labels": np.array([5, 0, 4])}, r"labels must have shape \(3, 10\), not \(3,\)"),
            ({"labels": last_label(0, 0)}, "labels must be one-hot"),
            ({"labels": last_label(1, 1)}, "labels must be one-hot"),
            ({"labels": last_label(1, 0.5)}, "labels must be one-hot"),
            ({"labels": last_label(0.5, 0.5)}, "labels must be one-hot"),
            ({"labels": last_label(0, np.nan)}, "labels must be one-hot"),
            ({"epochs": -1}, "^epochs must be from 0 to 10000, not -1$"),
            ({"hidden_nodes": 0}, "^hidden_nodes must be from 1 to 10000, not 0$"),
            ({"learning_rate": 0}, "^learning_rate must be from 0.0001 to 100, not 0$"),
            ({"learning_rate": np.nan}, "^learning_rate must be from 0.0001 to 100, not nan$"),
        ],
    )
    def test_says_what_images_labels_and_settings_must_be(
        self, changes: dict[str, Any], message: str
    ) -> None:
        good: dict[str, Any] = {"images": last_pixel(1), "labels": last_label(0, 1)}
        good.update(epochs=1, hidden_nodes=1)
        train(**good)
        with pytest.raises(ValueError, match=message):
            train(**(good | changes))
