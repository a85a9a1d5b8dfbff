"""Tests of the network itself: each function by its contract, and that it learns."""

import inspect
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

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
    default_epochs,
    forward_propagation,
    initialize_weights_and_biases,
    predict,
    sigmoid,
    train,
)

MNIST_DIR = os.environ.get("MNIST_DIR")  # before any fixture changes it
HAS_FULL_MNIST = MNIST_DIR is not None and any(
    (Path(MNIST_DIR) / name).exists()
    for name in ("train-images-idx3-ubyte", "train-images-idx3-ubyte.gz")
)


@pytest.fixture(scope="module")
def sample() -> tuple[Array, Array, Array, Array]:
    """Read the bundled sample: training images and labels, test images and labels."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(import_data, "SHA256", import_data.SAMPLE_SHA256)
        patch.setenv("MNIST_DIR", str(import_data.SAMPLE_FOLDER))
        patch.delenv("MNIST_MIRROR", raising=False)
        return (*import_data.get_data("train"), *import_data.get_data("test"))


@pytest.fixture(scope="module")
def trained(sample: tuple[Array, Array, Array, Array]) -> Network:
    """Train on the bundled sample as the program does."""
    return train(sample[0], sample[1], seed=0)


def small_network(dtype: Any = np.float64, seed: int = 1) -> Network:
    """Make a 6-5-3 network of moderate random weights."""
    random = np.random.default_rng(seed)
    shapes = ((6, 5), (5, 3), (5,), (3,))
    return tuple(random.normal(size=shape).astype(dtype) for shape in shapes)  # type: ignore[return-value]


def small_batch(size: int | None, dtype: Any = np.float64) -> tuple[Array, Array]:
    """Make images of 6 pixels and their one-hot labels: a batch, or one image if size is None."""
    random = np.random.default_rng(2)
    img = random.random((size or 1, 6)).astype(dtype)
    label = np.eye(3, dtype=dtype)[random.integers(0, 3, size or 1)]
    return (img, label) if size else (img[0], label[0])


def step(img: Array, label: Array, network: Network, **settings: float) -> None:
    """Propagate forward and take one step of backpropagation."""
    hidden_layer_output, output_layer_output = forward_propagation(img, *network)
    backpropagation(
        img,
        label,
        hidden_layer_output,
        output_layer_output,
        network[1],
        network[3],
        network[2],
        network[0],
        **settings,
    )


def cross_entropy(img: Array, label: Array, network: Network) -> float:
    """Compute the mean cross-entropy in plain Python, one number at a time."""
    weights_input_to_hidden, weights_hidden_to_output, biases_hidden, biases_output = network
    total = 0.0
    for pixels, wanted in zip(np.atleast_2d(img), np.atleast_2d(label), strict=True):
        hidden = [
            1 / (1 + math.exp(-bias - sum(p * w for p, w in zip(pixels, weights, strict=True))))
            for bias, weights in zip(biases_hidden, weights_input_to_hidden.T, strict=True)
        ]
        for bias, weights, y in zip(biases_output, weights_hidden_to_output.T, wanted, strict=True):
            z = bias + sum(h * w for h, w in zip(hidden, weights, strict=True))
            o = 1 / (1 + math.exp(-z))
            total -= y * math.log(o) + (1 - y) * math.log(1 - o)
    return total / len(np.atleast_2d(img))


class TestInterface:
    """The names and the order of the parameters are fixed."""

    @pytest.mark.parametrize(
        ("function", "parameters"),
        [
            (initialize_weights_and_biases, []),
            (sigmoid, ["x"]),
            (
                forward_propagation,
                [
                    "img",
                    "weights_input_to_hidden",
                    "weights_hidden_to_output",
                    "biases_hidden",
                    "biases_output",
                ],
            ),
            (compute_error, ["output", "label"]),
            (
                backpropagation,
                [
                    "img",
                    "label",
                    "hidden_layer_output",
                    "output_layer_output",
                    "weights_hidden_to_output",
                    "biases_output",
                    "biases_hidden",
                    "weights_input_to_hidden",
                ],
            ),
            (train, ["images", "labels"]),
            (
                predict,
                [
                    "img",
                    "weights_input_to_hidden",
                    "weights_hidden_to_output",
                    "biases_hidden",
                    "biases_output",
                ],
            ),
            (import_data.get_data, ["split"]),
        ],
    )
    def test_positional_parameters(
        self, function: Callable[..., Any], parameters: list[str]
    ) -> None:
        found = inspect.signature(function).parameters.values()
        assert [p.name for p in found if p.kind is not p.KEYWORD_ONLY] == parameters
        assert all(p.default is not p.empty for p in found if p.kind is p.KEYWORD_ONLY)


class TestInitializeWeightsAndBiases:
    def test_shapes_and_dtypes(self) -> None:
        network = initialize_weights_and_biases(hidden_nodes=7)
        assert [array.shape for array in network] == [(784, 7), (7, 10), (7,), (10,)]
        assert {array.dtype for array in network} == {np.dtype(np.float32)}

    def test_default_size(self) -> None:
        assert initialize_weights_and_biases()[2].shape == (neural_network.HIDDEN_NODES,)

    def test_same_seed_same_network(self) -> None:
        first, again = (initialize_weights_and_biases(seed=3) for _ in range(2))
        generator = initialize_weights_and_biases(seed=np.random.default_rng(3))
        for one, two, three in zip(first, again, generator, strict=True):
            assert np.array_equal(one, two)
            assert np.array_equal(one, three)

    def test_another_seed_or_none_another_network(self) -> None:
        networks = [initialize_weights_and_biases(seed=seed) for seed in (3, 4, None, None)]
        for layer in (0, 1):
            assert len({network[layer].tobytes() for network in networks}) == 4

    def test_sums_over_a_layer_are_moderate(self) -> None:
        weights_input_to_hidden, weights_hidden_to_output, *_ = initialize_weights_and_biases(
            seed=0
        )
        for weights in (weights_input_to_hidden, weights_hidden_to_output):
            assert np.sqrt((weights**2).sum(axis=0)).mean() == pytest.approx(1, abs=0.1)

    @pytest.mark.parametrize("hidden_nodes", [0, -1])
    def test_no_hidden_nodes(self, hidden_nodes: int) -> None:
        with pytest.raises(ValueError, match="hidden_nodes is"):
            initialize_weights_and_biases(hidden_nodes=hidden_nodes)


class TestSigmoid:
    @given(st.floats(-700, 700))
    def test_agrees_with_the_formula(self, x: float) -> None:
        assert sigmoid(np.array([x]))[0] == pytest.approx(1 / (1 + math.exp(-x)), abs=1e-15)

    @pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
    def test_extremes_neither_overflow_nor_warn(self, dtype: type) -> None:
        largest = np.finfo(dtype).max
        smallest = np.finfo(dtype).smallest_subnormal
        with np.errstate(over="raise", invalid="raise", divide="raise"):
            result = sigmoid(
                np.array([-largest, -100, -smallest, 0, smallest, 100, largest], dtype)
            )
        assert result.tolist() == [0, pytest.approx(0, abs=1e-7), 0.5, 0.5, 0.5, 1, 1]

    @given(
        npst.arrays(
            npst.floating_dtypes(endianness="="), npst.array_shapes(), elements={"allow_nan": False}
        )
    )
    def test_keeps_shape_and_dtype_and_range(self, x: Array) -> None:
        before = x.copy()
        result = sigmoid(x)
        assert (result.shape, result.dtype) == (x.shape, x.dtype)
        assert ((result >= 0) & (result <= 1)).all()
        assert np.array_equal(x, before)

    def test_not_a_number_stays_so(self) -> None:
        assert np.isnan(sigmoid(np.array([np.nan]))).all()

    def test_integers_and_single_numbers(self) -> None:
        assert sigmoid(np.array([0, 1000])).tolist() == [0.5, 1.0]
        assert float(sigmoid(0.0)) == 0.5


class TestForwardPropagation:
    def test_agrees_with_sums_by_hand(self) -> None:
        network = (
            np.array([[1.0], [-2.0]]),
            np.array([[3.0, 0.5]]),
            np.array([0.25]),
            np.array([-1.0, 1.0]),
        )
        hidden, output = forward_propagation(np.array([0.5, 0.125]), *network)
        h = 1 / (1 + math.exp(-(0.5 * 1 - 0.125 * 2 + 0.25)))
        assert hidden == pytest.approx([h])
        assert output == pytest.approx(
            [1 / (1 + math.exp(1 - 3 * h)), 1 / (1 + math.exp(-1 - h / 2))]
        )

    def test_a_batch_is_its_images(self) -> None:
        network = small_network()
        img, _ = small_batch(4)
        hidden, output = forward_propagation(img, *network)
        assert (hidden.shape, output.shape) == ((4, 5), (4, 3))
        for index in range(4):
            one_hidden, one_output = forward_propagation(img[index], *network)
            assert (one_hidden.shape, one_output.shape) == ((5,), (3,))
            assert one_hidden == pytest.approx(hidden[index])
            assert one_output == pytest.approx(output[index])

    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    def test_dtype_follows(self, dtype: type) -> None:
        results = forward_propagation(small_batch(2, dtype)[0], *small_network(dtype))
        assert [result.dtype for result in results] == [dtype, dtype]

    def test_read_only_and_non_contiguous_images(self) -> None:
        network = small_network()
        img, _ = small_batch(4)
        spread = np.repeat(img, 2, axis=1)[:, ::2]
        spread.flags.writeable = False
        for one, two in zip(
            forward_propagation(img, *network), forward_propagation(spread, *network), strict=True
        ):
            assert one == pytest.approx(two)

    @pytest.mark.parametrize(
        ("img", "message"),
        [
            (np.zeros(5), r"img has shape \(5,\), wanted \(6,\) or \(N, 6\)"),
            (np.zeros((2, 7)), r"img has shape \(2, 7\)"),
            (np.zeros((0, 6)), r"img has shape \(0, 6\)"),
            (np.zeros((1, 1, 6)), r"img has shape \(1, 1, 6\)"),
            (np.float64(1), r"img has shape \(\)"),
            (np.zeros(6, np.uint8), "img .* finite floats .*uint8"),
            (np.full((2, 6), np.nan), "img .* finite floats"),
            (np.array([0, 0, 0, 0, 0, np.inf]), "img .* finite floats"),
            (np.array([0, -np.inf, 0, 0, 0, 0]), "img .* finite floats"),
        ],
    )
    def test_unfit_images(self, img: Array, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            forward_propagation(img, *small_network())

    @pytest.mark.parametrize(
        ("position", "unfit", "message"),
        [
            (0, np.zeros((6, 4)), r"weights_input_to_hidden has shape \(6, 4\), wanted \(6, 5\)"),
            (0, np.zeros(6), r"weights_input_to_hidden has shape \(6,\)"),
            (1, np.zeros((4, 3)), r"weights_hidden_to_output has shape \(4, 3\), wanted \(5, 3\)"),
            (1, np.zeros((5, 2)), r"weights_hidden_to_output has shape \(5, 2\), wanted \(5, 3\)"),
            (2, np.zeros((5, 1)), r"biases_hidden has shape \(5, 1\), wanted \(5,\)"),
            (3, np.zeros((3, 1)), r"biases_output has shape \(3, 1\), wanted \(3,\)"),
        ],
    )
    def test_networks_that_do_not_fit_together(
        self, position: int, unfit: Array, message: str
    ) -> None:
        network = list(small_network())
        network[position] = unfit
        with pytest.raises(ValueError, match=message):
            forward_propagation(np.zeros(6), *network)


class TestComputeError:
    def test_is_the_mean_of_the_squares(self) -> None:
        error = compute_error(np.array([0.5, 0.25], np.float32), np.array([1, 0]))
        assert type(error) is float
        assert error == (0.25 + 0.0625) / 2
        assert (
            compute_error(np.array([[0.5, 0.25], [1, 0]]), np.array([[1, 0], [1, 0]])) == error / 2
        )

    def test_unsigned_integers_do_not_wrap_around(self) -> None:
        assert compute_error(np.array([0], np.uint8), np.array([1], np.uint8)) == 1

    @pytest.mark.parametrize(
        ("output", "label", "message"),
        [
            (np.zeros(10), np.zeros(9), r"label has shape \(9,\), wanted \(10,\)"),
            (np.zeros((2, 10)), np.zeros(10), r"label has shape \(10,\), wanted \(2, 10\)"),
            (np.zeros((0, 10)), np.zeros((0, 10)), r"output has shape \(0, 10\)"),
            (np.array([np.nan]), np.zeros(1), "not finite"),
            (np.zeros(1), np.array([np.inf]), "not finite"),
        ],
    )
    def test_unfit_arguments(self, output: Array, label: Array, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            compute_error(output, label)


class TestBackpropagation:
    @pytest.mark.parametrize("size", [None, 1, 4])
    def test_step_is_the_gradient_by_central_differences(self, size: int | None) -> None:
        img, label = small_batch(size)
        network = small_network()
        changed = tuple(array.copy() for array in network)
        step(img, label, changed, learning_rate=0.5)
        for array, changed_array in zip(network, changed, strict=True):
            for position in np.ndindex(array.shape):
                errors = []
                for difference in (1e-5, -1e-5):
                    kept = array[position]
                    array[position] += difference
                    errors.append(cross_entropy(img, label, network))
                    array[position] = kept
                gradient = (errors[0] - errors[1]) / 2e-5
                step_taken = changed_array[position] - array[position]
                assert step_taken == pytest.approx(-0.5 * gradient, rel=1e-6, abs=1e-9)

    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    def test_changes_the_arrays_in_place_and_keeps_their_dtype(self, dtype: type) -> None:
        img, label = small_batch(4, dtype)
        network = small_network(dtype)
        before = [array.copy() for array in network]
        step(img, label, network)
        for array, old in zip(network, before, strict=True):
            assert array.dtype == dtype
            assert (array != old).all()

    def test_a_learning_rate_of_numpy_does_not_make_all_float64(self) -> None:
        img, label = np.full((10, 784), 0.1, np.float32), np.eye(10, dtype=np.float32)
        one, two = (initialize_weights_and_biases(hidden_nodes=5, seed=0) for _ in range(2))
        step(img, label, one, learning_rate=0.3)
        step(img, label, two, learning_rate=np.float64(0.3))
        assert all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))

    @pytest.mark.parametrize("images", [slice(1), slice(64)])
    def test_one_step_lowers_the_error(
        self, sample: tuple[Array, Array, Array, Array], images: slice
    ) -> None:
        img, label = sample[0][images], sample[1][images]
        network = initialize_weights_and_biases(seed=0)
        before = compute_error(forward_propagation(img, *network)[1], label)
        step(img, label, network)
        assert compute_error(forward_propagation(img, *network)[1], label) < before

    def test_leaves_its_other_arguments_alone(self) -> None:
        img, label = small_batch(4)
        img.flags.writeable = label.flags.writeable = False
        network = small_network()
        outputs = forward_propagation(img, *network)
        before = [output.copy() for output in outputs]
        for output in outputs:
            output.flags.writeable = False
        backpropagation(img, label, *outputs, network[1], network[3], network[2], network[0])
        assert all(np.array_equal(a, b) for a, b in zip(outputs, before, strict=True))

    def test_labels_that_are_not_one_hot_are_wanted_outputs_like_others(self) -> None:
        img, _ = small_batch(2)
        label = np.array([[0.2, 0.5, 0.9], [0, 0, 0]])
        network = small_network()
        before = cross_entropy(img, label, network)
        step(img, label, network, learning_rate=0.1)
        assert cross_entropy(img, label, network) < before

    @pytest.mark.parametrize(
        ("name", "unfit", "message"),
        [
            ("img", np.zeros((4, 5)), r"img has shape \(4, 5\), wanted"),
            ("img", np.zeros((0, 6)), r"img has shape \(0, 6\)"),
            ("img", np.zeros((4, 6), np.int64), "img .* finite floats"),
            ("img", np.full((4, 6), np.nan), "img .* finite floats"),
            ("label", np.zeros((4, 2)), r"label has shape \(4, 2\), wanted \(4, 3\)"),
            ("label", np.zeros(3), r"label has shape \(3,\), wanted \(4, 3\)"),
            ("label", np.full((4, 3), 1.5), "label has values"),
            ("label", np.full((4, 3), -1), "label has values"),
            ("label", np.full((4, 3), np.nan), "label has values"),
            ("hidden_layer_output", np.zeros((4, 4)), r"hidden_layer_output has shape \(4, 4\)"),
            ("hidden_layer_output", np.full((4, 5), np.nan), "not finite"),
            ("output_layer_output", np.zeros((3, 3)), r"output_layer_output has shape \(3, 3\)"),
            ("output_layer_output", np.full((4, 3), np.inf), "not finite"),
            ("weights_input_to_hidden", np.zeros((6, 4)), "weights_input_to_hidden has shape"),
            ("weights_input_to_hidden", np.zeros((6, 5), int), "writable arrays of floats"),
            ("weights_hidden_to_output", np.zeros((4, 3)), "weights_hidden_to_output has shape"),
            ("weights_hidden_to_output", np.full((5, 3), np.nan), "not finite"),
            ("biases_hidden", np.zeros(4), "has shape"),
            ("biases_output", np.zeros((3, 3)), "has shape"),
            ("biases_output", np.zeros(3, int), "writable arrays of floats"),
            ("learning_rate", math.nan, "learning_rate is nan"),
            ("learning_rate", math.inf, "learning_rate is inf"),
        ],
    )
    @pytest.mark.filterwarnings("ignore:invalid value")  # NumPy's own, of infinity times zero
    def test_unfit_arguments_change_nothing(self, name: str, unfit: Any, message: str) -> None:
        img, label = small_batch(4)
        network = small_network()
        arguments: dict[str, Any] = dict(zip(inspect.signature(backpropagation).parameters, [
            img, label, *forward_propagation(img, *network),
            network[1], network[3], network[2], network[0],
        ], strict=False))  # fmt: skip
        arguments[name] = unfit
        before = {key: np.copy(value) for key, value in arguments.items()}
        with pytest.raises(ValueError, match=message):
            backpropagation(**arguments)
        for key, value in arguments.items():
            assert np.array_equal(value, before[key], equal_nan=True), key

    @pytest.mark.parametrize("position", range(4))
    def test_a_read_only_array_leaves_the_others_unchanged(self, position: int) -> None:
        img, label = small_batch(4)
        network = small_network()
        network[position].flags.writeable = False
        before = [array.copy() for array in network]
        with pytest.raises(ValueError, match="writable"):
            step(img, label, network)
        assert all(np.array_equal(a, b) for a, b in zip(network, before, strict=True))


class TestTrain:
    def test_learns_to_read_digits_it_has_never_seen(
        self, sample: tuple[Array, Array, Array, Array], trained: Network
    ) -> None:
        _, _, test_images, test_labels = sample
        assert (predict(test_images, *trained) == test_labels.argmax(axis=1)).mean() >= 0.96

    @pytest.mark.skipif(not HAS_FULL_MNIST, reason="MNIST_DIR does not name a folder with MNIST")
    def test_full_mnist(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("MNIST_DIR", str(MNIST_DIR))
        monkeypatch.setattr(import_data, "MIRRORS", ())
        network = train(*import_data.get_data("train"), seed=0)
        test_images, test_labels = import_data.get_data("test")
        assert len(test_images) == 10_000
        assert (predict(test_images, *network) == test_labels.argmax(axis=1)).mean() >= 0.985

    def test_same_seed_same_network_bit_for_bit(
        self, sample: tuple[Array, Array, Array, Array], trained: Network
    ) -> None:
        again = train(sample[0], sample[1], seed=0)
        assert all(np.array_equal(a, b) for a, b in zip(trained, again, strict=True))
        other = train(sample[0][:100], sample[1][:100], seed=1, epochs=1)
        another = train(sample[0][:100], sample[1][:100], seed=2, epochs=1)
        assert not any(np.array_equal(a, b) for a, b in zip(other, another, strict=True))

    def test_returns_the_arrays_in_the_order_of_initialize(self, trained: Network) -> None:
        for array, initial in zip(trained, initialize_weights_and_biases(), strict=True):
            assert (array.shape, array.dtype) == (initial.shape, initial.dtype)

    def test_size_of_the_hidden_layer(self, sample: tuple[Array, Array, Array, Array]) -> None:
        network = train(sample[0][:70], sample[1][:70], hidden_nodes=5, epochs=1)
        assert [array.shape for array in network] == [(784, 5), (5, 10), (5,), (10,)]

    @pytest.mark.parametrize("count", [1, 31, 32, 33])
    def test_any_number_of_images(
        self, sample: tuple[Array, Array, Array, Array], count: int
    ) -> None:
        images, labels = sample[0][:count], sample[1][:count]
        network = train(images, labels, seed=0, epochs=30, hidden_nodes=20)
        untrained = initialize_weights_and_biases(seed=0, hidden_nodes=20)
        assert compute_error(forward_propagation(images, *network)[1], labels) < compute_error(
            forward_propagation(images, *untrained)[1], labels
        )

    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    def test_images_of_any_layout_are_left_alone(
        self, sample: tuple[Array, Array, Array, Array], dtype: Any
    ) -> None:
        images = np.asfortranarray(sample[0][:100].astype(dtype))
        images.flags.writeable = False
        network = train(images, sample[1][:100], seed=0, epochs=2)
        same = train(sample[0][:100], sample[1][:100], seed=0, epochs=2)
        assert {array.dtype for array in network} == {np.dtype(np.float32)}
        for one, two in zip(network, same, strict=True):
            assert one == pytest.approx(two, abs=1e-3)

    def test_the_first_step_is_longest_and_the_last_shortest(
        self, sample: tuple[Array, Array, Array, Array], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        rates = []

        def recorded(*arguments: Array, learning_rate: float) -> None:
            rates.append(learning_rate)
            backpropagation(*arguments, learning_rate=learning_rate)

        monkeypatch.setattr(neural_network, "backpropagation", recorded)
        train(sample[0][:64], sample[1][:64], epochs=2, learning_rate=1.0)
        assert rates == [1.0, 0.75, 0.5, 0.25]

    def test_every_batch_is_shifted_by_up_to_a_pixel(
        self, sample: tuple[Array, Array, Array, Array], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        image = sample[0][0].reshape(28, 28)
        seen = set()

        def recorded(img: Array, *network: Array) -> tuple[Array, Array]:
            middle = np.rint((img[0] * 0.3081 + 0.1307) * 255).reshape(-1, 28)
            for down in (-1, 0, 1):
                for right in (-1, 0, 1):
                    moved = np.roll(np.rint(image * 255), (down, right), axis=(0, 1))
                    if np.array_equal(middle, moved[3:25]):
                        seen.add((down, right))
            return forward_propagation(img, *network)

        monkeypatch.setattr(neural_network, "forward_propagation", recorded)
        train(sample[0][:1], sample[1][:1], epochs=100, hidden_nodes=2, seed=0)
        assert seen == {(0, 0), (0, 1), (0, -1), (1, 0), (-1, 0)}

    def test_reports_after_each_batch(self, sample: tuple[Array, Array, Array, Array]) -> None:
        reports: list[tuple[int, int, Array, Array]] = []

        def report(epoch: int, epoch_images: int, outputs: Array, labels: Array) -> None:
            reports.append((epoch, epoch_images, outputs.copy(), labels))

        train(sample[0][:50], sample[1][:50], epochs=2, report=report)
        assert [(epoch, count, len(outputs)) for epoch, count, outputs, _ in reports] == [
            (1, 50, 32), (1, 50, 50), (2, 50, 32), (2, 50, 50),
        ]  # fmt: skip
        for _, _, outputs, labels in reports:
            assert outputs.shape == labels.shape
            assert ((outputs > 0) & (outputs < 1)).all()
        # Each epoch comes in another order, and has each label once.
        assert not np.array_equal(reports[1][3], reports[3][3])
        assert np.array_equal(reports[1][3].sum(axis=0), sample[1][:50].sum(axis=0))

    def test_an_image_that_has_been_learned_is_left_out_from_then_on(
        self, sample: tuple[Array, Array, Array, Array]
    ) -> None:
        epochs: dict[int, tuple[Array, Array]] = {}  # the last report of each

        def report(epoch: int, epoch_images: int, outputs: Array, labels: Array) -> None:
            epochs[epoch] = outputs.copy(), labels
            assert len(outputs) <= epoch_images

        train(sample[0][:1000], sample[1][:1000], epochs=6, seed=0, report=report)
        digits = [labels.argmax(axis=1) for _, labels in epochs.values()]
        for (outputs, labels), practised, next_practised in zip(
            epochs.values(), digits, digits[1:], strict=False
        ):
            known = np.isclose(outputs, labels, rtol=0, atol=0.4 / 6).all(axis=1)
            assert sorted(practised[~known]) == sorted(next_practised)
        assert 1000 == len(digits[0]) > len(digits[2]) > len(digits[4]) > len(digits[5]) > 50

    def test_may_have_learned_everything_before_the_last_epoch(
        self, sample: tuple[Array, Array, Array, Array]
    ) -> None:
        images, labels = sample[0][:10], sample[1][:10]
        epochs: list[int] = []
        network = train(
            images, labels, seed=0, epochs=1000, report=lambda epoch, *_: epochs.append(epoch)
        )
        assert 10 < epochs[-1] < 1000
        assert (predict(images, *network) == labels.argmax(axis=1)).all()

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"images": np.zeros((3, 783))}, r"images has shape \(3, 783\), wanted \(N, 784\)"),
            ({"images": np.zeros(784)}, r"images has shape \(784,\)"),
            ({"images": np.zeros((0, 784))}, r"images has shape \(0, 784\)"),
            ({"images": np.zeros((3, 784), np.uint8)}, "images .* floats from 0 to 1"),
            ({"images": np.full((3, 784), 255.0)}, "images .* floats from 0 to 1"),
            ({"images": np.full((3, 784), -0.1)}, "images .* floats from 0 to 1"),
            ({"images": np.full((3, 784), np.nan)}, "images .* floats from 0 to 1"),
            ({"labels": np.zeros((2, 10))}, r"labels has shape \(2, 10\), wanted \(3, 10\)"),
            ({"labels": np.zeros(3, int)}, r"labels has shape \(3,\)"),
            ({"labels": np.zeros((3, 10))}, "labels has to be one-hot"),
            ({"labels": np.ones((3, 10))}, "labels has to be one-hot"),
            ({"labels": np.full((3, 10), 0.1)}, "labels has to be one-hot"),
            ({"labels": np.full((3, 10), np.nan)}, "labels has to be one-hot"),
            ({"epochs": 0}, "epochs is 0"),
            ({"hidden_nodes": 0}, "hidden_nodes is 0"),
            ({"learning_rate": math.nan}, "learning_rate nan, wanted above 0"),
            ({"learning_rate": -1.0}, "learning_rate -1.0, wanted above 0"),
        ],
    )
    def test_unfit_arguments(self, changes: dict[str, Any], message: str) -> None:
        arguments: dict[str, Any] = {"images": np.zeros((3, 784)), "labels": np.eye(10)[:3]}
        with pytest.raises(ValueError, match=message):
            train(**(arguments | changes))


class TestDefaultEpochs:
    @pytest.mark.parametrize(
        ("images", "epochs"),
        [(60_000, 8), (20_000, 8), (19_999, 20), (6_000, 20), (100, 20), (1, 20)],
    )
    def test_fewer_images_more_epochs(self, images: int, epochs: int) -> None:
        assert default_epochs(images) == epochs


class TestPredict:
    def test_one_image_and_a_batch(
        self, sample: tuple[Array, Array, Array, Array], trained: Network
    ) -> None:
        images = sample[2][:20]
        digits = predict(images, *trained)
        assert isinstance(digits, np.ndarray)
        assert digits.dtype.kind == "i"
        assert digits.tolist() == [predict(image, *trained) for image in images]
        assert type(predict(images[0], *trained)) is int
        assert len(set(digits.tolist())) > 5

    def test_is_the_strongest_output(self) -> None:
        network = small_network()
        img, _ = small_batch(None)
        _, output = forward_propagation(img, *network)
        assert output[predict(img, *network)] == max(output)

    def test_unfit_arguments(self) -> None:
        with pytest.raises(ValueError, match="img has shape"):
            predict(np.zeros((0, 6)), *small_network())
