"""A neural network, written from scratch in NumPy, that classifies handwritten digits.

The first half of this module is the network: `forward_propagation` computes its outputs,
`backpropagation` takes one training step, and `train` repeats both, batch by batch. The second half
is the program, which trains a network and lets you try it out. README.md explains the terms and
derives the formulas in the chapter "How it learns".
"""

import argparse
import contextlib
import functools
import itertools
import math
import os
import re
import shutil
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple

if __name__ == "__main__":
    # Use one thread unless the user has chosen otherwise. With more threads, the BLAS library
    # behind NumPy splits each matrix product across cores, which makes training slightly faster on
    # an idle machine but far slower on a busy one. BLAS reads these variables when NumPy is
    # imported.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("VECLIB_MAXIMUM_THREADS", "1")  # on a Mac

import numpy as np
from numpy.typing import ArrayLike, NDArray

from import_data import SAMPLE_FOLDER, DataError, DownloadError, as_mnist, get_data, is_terminal

if TYPE_CHECKING:
    import tkinter

Array = NDArray[np.floating]  # float32 in `train`; float64 works, too

# A network with more hidden nodes is slightly more accurate but slower to train. LeCun, Bottou,
# Bengio and Haffner (Gradient-based learning applied to document recognition, 1998) also used 300.
HIDDEN_NODES = 300

# All biases start at this value. Because sigmoid(-2) is only 0.12, the hidden nodes start nearly
# off. The weights that lead from them change in proportion to their outputs, so the first steps
# overshoot less than with biases of 0, where the outputs are about 0.5. This allows a learning rate
# almost twice as large and gives a higher accuracy. The value also suits the output nodes because
# only one of the ten should be on.
INITIAL_BIAS = -2


class Network(NamedTuple):
    """Everything that a network with H hidden nodes learns: its weights and biases."""

    weights_input_to_hidden: Array  # (784, H): a row for each pixel, a column for each hidden node
    weights_hidden_to_output: Array  # (H, 10): a row for each hidden node, a column for each digit
    biases_hidden: Array  # (H,)
    biases_output: Array  # (10,)


def initialize_weights_and_biases(
    *, hidden_nodes: int = HIDDEN_NODES, seed: int | np.random.Generator | None = None
) -> Network:
    """Return an untrained network of float32 arrays, with random weights.

    The weights are random because two hidden nodes with the same incoming and outgoing weights
    would receive the same update in every step and remain identical forever. All weights have mean
    0, so the terms of a weighted sum partly cancel, and the sum of n such terms is only about
    sqrt(n) times as large as one of them. A standard deviation of 1 / sqrt(n) for a node with n
    inputs compensates for this factor, so the size of a weighted sum depends on the size of the
    inputs but not on their number (LeCun, Bottou, Orr and Müller, Efficient BackProp, 1998).

    Parameters
    ----------
    hidden_nodes : int
        The number of hidden nodes, H.
    seed : int, numpy.random.Generator or None
        The same int gives the same weights; None gives different weights each time.
    """
    rng = np.random.default_rng(seed)
    return Network(
        rng.standard_normal((784, hidden_nodes), np.float32) / math.sqrt(784),
        rng.standard_normal((hidden_nodes, 10), np.float32) / math.sqrt(hidden_nodes),
        np.full(hidden_nodes, INITIAL_BIAS, np.float32),
        np.full(10, INITIAL_BIAS, np.float32),
    )


def sigmoid(x: Array) -> Array:
    """Return 1 / (1 + exp(-x)) for each element of a floating-point array, in its dtype.

    This activation function squashes any number into the range from 0 to 1.
    """
    # For very negative x, exp(-x) overflows to infinity, but the result is still correct: 0.
    with np.errstate(over="ignore"):
        output: Array = 1 / (1 + np.exp(-x))
    return output


def forward_propagation(
    img: Array,
    weights_input_to_hidden: Array,
    weights_hidden_to_output: Array,
    biases_hidden: Array,
    biases_output: Array,
) -> tuple[Array, Array]:
    """Return the outputs of the hidden layer and the output layer, for one image or a batch.

    Parameters
    ----------
    img : floating-point array of shape (784,) or (N, 784)
        Pixels from 0 (background) to 1 (ink); `train` passes standardized pixels.
    weights_input_to_hidden, weights_hidden_to_output, biases_hidden, biases_output
        The arrays of a `Network`.

    Returns
    -------
    hidden_layer_output : array of shape (H,) or (N, H)
    output_layer_output : array of shape (10,) or (N, 10)
        A score from 0 to 1 for each digit.
    """
    # (N, 784) @ (784, H) gives (N, H): for each image, a row with the sum of pixel times weight for
    # each hidden node. `+` adds the biases, of shape (H,), to every row.
    hidden_layer_output = sigmoid(img @ weights_input_to_hidden + biases_hidden)
    output_layer_output = sigmoid(hidden_layer_output @ weights_hidden_to_output + biases_output)
    return hidden_layer_output, output_layer_output


def predict(
    img: Array,
    weights_input_to_hidden: Array,
    weights_hidden_to_output: Array,
    biases_hidden: Array,
    biases_output: Array,
) -> int | NDArray[np.intp]:
    """Return the digit with the highest output: an int, or an array of shape (N,) for a batch.

    The parameters are those of `forward_propagation`.
    """
    _, output_layer_output = forward_propagation(
        img, weights_input_to_hidden, weights_hidden_to_output, biases_hidden, biases_output
    )
    digits = output_layer_output.argmax(axis=-1)
    return int(digits) if digits.ndim == 0 else digits


def compute_error(output: Array, label: Array) -> float:
    """Return the mean squared error of outputs of shape (10,) or (N, 10).

    It is 0 if all outputs are correct and 1 if all are completely wrong. The program displays this
    error because it is easier to interpret than the cross-entropy, which training minimizes.

    Raises
    ------
    ValueError
        If the shapes of `output` and `label` differ.
    """
    check_same_shape(output, label)
    return float(np.mean((output - label) ** 2))


def backpropagation(
    img: Array,
    label: Array,
    hidden_layer_output: Array,
    output_layer_output: Array,
    weights_hidden_to_output: Array,
    biases_output: Array,
    biases_hidden: Array,
    weights_input_to_hidden: Array,
    *,
    learning_rate: float = 0.1,
) -> None:
    """Take one step of gradient descent on the cross-entropy, updating the network in place.

    For each node, z = (sum of x * w) + b is the weighted sum of its inputs x, with weights w and a
    bias b. The output sigmoid(z) is called h for a hidden node and o for an output node, and y is
    the label of an output, 1 or 0. The cross-entropy E of an image and its derivatives are

        E = sum over the outputs of  -y * log(o) - (1 - y) * log(1 - o)
        delta_output = dE/dz of an output node = o - y
        delta_hidden = dE/dz of a hidden node
                     = (sum over the outputs of  delta_output * w) * h * (1 - h),
                       where w is the weight from the hidden node to the output
        dE/dw = delta * x
        dE/db = delta

    The denominator of dE/do = (o - y) / (o * (1 - o)) cancels the slope o * (1 - o) of the sigmoid,
    so the weights of an output that is badly wrong change fast even though the slope is nearly 0.
    For a batch, each image has its own deltas, and E, dE/dw and dE/db are means over the images.
    The method is that of Rumelhart, Hinton and Williams (Learning representations by
    back-propagating errors, 1986), who minimized the squared error.

    Parameters
    ----------
    img : floating-point array of shape (784,) or (N, 784)
    label : array of shape (10,) or (N, 10)
        The correct outputs.
    hidden_layer_output, output_layer_output
        What `forward_propagation` returned for `img` and the current weights and biases.
    weights_hidden_to_output, biases_output, biases_hidden, weights_input_to_hidden
        The arrays of a `Network`, in a different order; `**network._asdict()` passes them by name.
    learning_rate : float
        The factor by which the gradient is multiplied. The default suits single images with pixels
        from 0 to 1. Batches allow a higher rate (see `BATCH_SIZE`).

    Raises
    ------
    ValueError
        If the shapes of `output_layer_output` and `label` differ.
    """
    check_same_shape(output_layer_output, label)
    # A single image becomes a batch of one, so that every array has one row for each image.
    img, label, hidden_layer_output, output_layer_output = np.atleast_2d(
        img, label, hidden_layer_output, output_layer_output
    )

    # The deltas have shapes (N, 10) and (N, H). `.T` swaps rows and columns, so (N, 10) @ (10, H)
    # sums delta_output * w over the ten outputs. The sum is computed before the weights are updated
    # because it needs the weights that produced the outputs.
    delta_output = output_layer_output - label
    slope_hidden = hidden_layer_output * (1 - hidden_layer_output)
    delta_hidden = (delta_output @ weights_hidden_to_output.T) * slope_hidden

    # `img.T @ delta` sums delta * x over the images: (784, N) @ (N, H) gives (784, H). Scaling the
    # deltas is cheaper than scaling this larger product. `-=` changes the caller's arrays, whereas
    # `w = w - ...` would create new ones.
    rate_per_image = learning_rate / len(img)
    weights_hidden_to_output -= hidden_layer_output.T @ (rate_per_image * delta_output)
    biases_output -= rate_per_image * delta_output.sum(axis=0)
    weights_input_to_hidden -= img.T @ (rate_per_image * delta_hidden)
    biases_hidden -= rate_per_image * delta_hidden.sum(axis=0)


Report = Callable[[int, int, int, int, Array], object]  # epoch, epochs, done, total, outputs

EPOCHS = 10  # more epochs give a slightly higher accuracy but take longer
LEARNING_RATE = 1.2  # in the first epoch; anything from 0.9 to 1.6 works just as well


def train(
    images: ArrayLike,
    labels: ArrayLike,
    *,
    epochs: int = EPOCHS,
    hidden_nodes: int = HIDDEN_NODES,
    learning_rate: float = LEARNING_RATE,
    seed: int | np.random.Generator | None = None,
    report: Report | None = None,
) -> Network:
    """Train a network by stochastic gradient descent and return it.

    In each epoch, the images that are not yet learned are shuffled and split into batches, and each
    batch is one step. The techniques that make training fast and the network accurate are explained
    where they are defined: `INITIAL_BIAS`, `learning_rates`, `select_unlearned`, `BATCH_SIZE`,
    `shift_randomly` and `standardize`. Images and labels of any dtype are converted to float32.

    Parameters
    ----------
    images : array of shape (N, 784)
        Pixels from 0 (background) to 1 (ink).
    labels : array of shape (N, 10)
        One-hot: 1 in the column of the correct digit and 0 elsewhere.
    epochs, hidden_nodes : int
        The number of epochs, which may be 0, and the number of hidden nodes.
    learning_rate : float
        The learning rate of the first epoch; it falls as described in `learning_rates`.
    seed : int, numpy.random.Generator or None
        The same int gives the same network, bit for bit, on the same machine with the same NumPy
        version and number of threads. None gives a different network each time.
    report : Report, optional
        Called after each step as report(epoch, epochs, done, total, outputs). `epoch` counts from 1
        to `epochs`, and `done` of the `total` images in this epoch have been used. `outputs`, of
        shape (N, 10), holds for each image the outputs from when it was last in a batch, computed
        for the shifted image before the weights were updated, or zeros if it has not been in a
        batch yet. An accuracy based on them therefore lags behind that of the current network.
        Later steps overwrite the array, so copy it to keep its values.

    Returns
    -------
    Network
        The trained network, which takes pixels from 0 to 1: `predict(img, *network)`.

    Raises
    ------
    ValueError
        If `images` or `labels` are not as described.
    """
    images = np.asarray(images, np.float32)
    labels = np.asarray(labels, np.float32)
    check_training_set(images, labels)
    rng = np.random.default_rng(seed)
    network = initialize_weights_and_biases(hidden_nodes=hidden_nodes, seed=rng)
    latest_outputs = np.zeros_like(labels)

    for epoch, rate in enumerate(learning_rates(learning_rate, epochs), start=1):
        order = rng.permutation(select_unlearned(latest_outputs, labels, epoch))
        done = 0
        for batch in split_into_batches(order):
            # Standardizing all images at once would need memory for a second copy of them.
            img = standardize(shift_randomly(images[batch], rng))
            hidden, output = forward_propagation(img, *network)
            backpropagation(
                img, labels[batch], hidden, output, **network._asdict(), learning_rate=rate
            )
            latest_outputs[batch] = output
            done += len(batch)
            if report:
                report(epoch, epochs, done, len(order), latest_outputs)
    return absorb_standardization(network)


def learning_rates(first: float, epochs: int) -> list[float]:
    """Return the learning rate of each epoch, which falls linearly to a twentieth of the first.

    Large steps make fast progress at first. Later, because the gradient of a batch is noisy, they
    would keep the weights wandering around a minimum, where smaller steps let them settle.
    """
    # As Python floats, the rates leave float32 arrays float32; NumPy's own numbers are float64.
    return [float(rate) for rate in np.linspace(first, first / 20, epochs)]


TOLERANCE = 0.5  # divided by the epoch number; at most 1, so that epoch 1 skips no image


def select_unlearned(outputs: Array, labels: Array, epoch: int) -> NDArray[np.intp]:
    """Return the indices of the images to train on in this epoch, skipping those already learned.

    An image counts as learned if all ten outputs were within TOLERANCE / epoch of its label when it
    was last in a batch. Its deltas were small at that point, and the time is better spent on the
    remaining images: skipping makes training about four times as fast at nearly the same accuracy.
    In the first epoch, `outputs` is 0, so every image has an error of 1 and none is skipped. Then
    the tolerance shrinks, from 0.25 in epoch 2 to 0.05 in epoch 10, so images that were learned
    less well come back. An image that was learned very well does not come back because its outputs
    are computed only when it is in a batch, but the network forgets few such images. Skipping is an
    extreme case of the emphasizing schemes of LeCun et al. (Efficient BackProp).
    """
    largest_errors = np.abs(outputs - labels).max(axis=1)
    return np.flatnonzero(largest_errors >= TOLERANCE / epoch)


# The maximum number of images in a batch. Processing 64 images at once is far faster than
# processing them one by one, and because the mean of their gradients is less noisy than the
# gradient of one image, the steps can be larger. With still larger batches, an epoch has fewer
# steps and the accuracy is lower.
BATCH_SIZE = 64


def split_into_batches(order: NDArray[np.intp]) -> list[NDArray[np.intp]]:
    """Split the indices of images into batches whose sizes differ by at most one.

    A small last batch would count as much as a full batch although its gradient is noisier, which
    matters for small training sets.
    """
    batches = math.ceil(len(order) / BATCH_SIZE)
    return [order[start::batches] for start in range(batches)]


def shift_randomly(images: Array, rng: np.random.Generator) -> Array:
    """Return a batch of images, shifted together by one pixel in a random direction or not at all.

    A shifted digit is still the same digit, so this teaches the network to tolerate small shifts
    (Simard, Steinkraus and Platt, Best practices for convolutional neural networks applied to
    visual document analysis, 2003). One shift for the whole batch is faster than one for each
    image. Pixels that are shifted off one edge wrap around to the opposite edge, one row higher or
    lower after a horizontal shift, which is harmless because the border of an MNIST image is nearly
    always blank.
    """
    offset = rng.choice([0, -1, 1, -28, 28])  # not at all, left, right, up or down
    return np.roll(images, offset, axis=1)


PIXEL_MEAN, PIXEL_STD = 0.1307, 0.3081  # of all pixels in MNIST's training set


def standardize(images: Array) -> Array:
    """Rescale pixels so that those of MNIST's training set have mean 0 and standard deviation 1.

    Background becomes -0.4 and ink 2.8. Because dE/dw = delta * x, these larger inputs make the
    weights of the hidden nodes learn faster relative to the other weights and the biases, which
    raises the accuracy. With inputs on both sides of 0, an image can also increase some weights of
    a hidden node while it decreases others; with pixels from 0 to 1, it would change all of them in
    the same direction or not at all (LeCun et al., Efficient BackProp).
    """
    return (images - PIXEL_MEAN) / PIXEL_STD


def absorb_standardization(network: Network) -> Network:
    """Return an equivalent network that takes pixels from 0 to 1 instead of standardized ones.

    The standardization becomes part of the weights and biases of the hidden nodes:

        w * (x - mean) / std  =  (w / std) * x  -  mean * (w / std)

    In the first term, w / std takes the place of w. The second term does not depend on x, so its
    sum over all pixels is subtracted from the bias.
    """
    weights = network.weights_input_to_hidden / PIXEL_STD
    biases = network.biases_hidden - PIXEL_MEAN * weights.sum(axis=0)
    return network._replace(weights_input_to_hidden=weights, biases_hidden=biases)


def check_same_shape(output: Array, label: Array) -> None:
    """Raise a `ValueError` if the shapes differ, because NumPy might otherwise broadcast them."""
    if output.shape != label.shape:
        raise ValueError(
            f"output and label must have the same shape, not {output.shape} and {label.shape}"
        )


def check_training_set(images: Array, labels: Array) -> None:
    """Raise a `ValueError` that names the problem if the images or labels are invalid."""
    if images.ndim != 2 or images.shape[1] != 784 or len(images) == 0:
        raise ValueError(f"images must have shape (N, 784), N > 0, not {images.shape}")
    smallest, largest = images.min(), images.max()  # both are NaN if any pixel is
    if not (smallest >= 0 and largest <= 1):
        hint = " (should they be divided by 255?)" if largest > 1 else ""
        raise ValueError(
            f"pixels must be numbers from 0 to 1, not from {smallest:g} to {largest:g}{hint}"
        )
    if labels.shape != (len(images), 10):
        raise ValueError(f"labels must have shape ({len(images)}, 10), not {labels.shape}")
    if not np.array_equal(labels, np.eye(10)[labels.argmax(axis=1)]):
        raise ValueError("labels must be one-hot: a single 1 in each row, and 0 elsewhere")


# The program

ImageSet = tuple[Array, Array]  # images and their labels

HELP = """\
  42     training image 42, which the network learned from
  t 42   test image 42, which the network has never seen
  Enter  a random test image
  w      the next test image that the network misclassifies
  n      the next hidden node, the strongest first
  n 42   hidden node 42
  d      a digit that you draw with the mouse
  ?      this help
  q      quit (or Ctrl-D; on Windows Ctrl-Z and Enter)

The ten outputs beside an image are scores from 0 to 1, not probabilities. The digit with the \
highest output is the prediction.

A hidden node is shown by its weights from the pixels and its weights to the outputs. A high \
output of the node raises the scores of the digits with + and lowers those of the digits with -. \
The strength of a node is the product of the norms of the two sets of weights; a norm is the \
square root of the sum of the squares.

In the training table, each epoch skips the images that the network has already learned. Error and \
training accuracy lag behind the network because the outputs for each image date from the last \
batch that contained the image."""


def main() -> int:
    """Train a network, evaluate it, and let people try it out; return the exit status."""
    try:
        settings = parse_arguments()
        train_set, test_set = load_mnist()
        network = train_with_table(*train_set, settings)
        mistakes = evaluate(*test_set, network)
        print("Try w for a mistake, n for a hidden node, d to draw a digit.")
        if len(train_set[0]) < 60_000:
            print("The data are the bundled sample, a tenth of MNIST.")
        prompt_loop(train_set, test_set, mistakes, network)
        sys.stdout.flush()  # here, so that a full disk becomes a one-line error
        return 0
    except KeyboardInterrupt:
        return fail("", status=130)  # ends the line that the cursor may be in
    except BrokenPipeError:  # the reader has closed the pipe, as `| head -1` does
        return fail(None)
    except MemoryError:
        return fail("Out of memory: MNIST needs 300 MB, and a large --hidden-nodes needs more.")
    except ModuleNotFoundError as error:
        return fail(f"{error.name} is missing: run pip install -r requirements.txt")
    except (DataError, OSError) as error:
        return fail(str(error))


def fail(message: str | None, *, status: int = 1) -> int:
    """Print a message on stderr, if there is one, flush stdout, and return the exit status."""
    if message is not None:
        print(message, file=sys.stderr)
    try:
        sys.stdout.flush()
    except OSError:  # a closed pipe or a full disk, which Python would report again on exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return status


# Settings


def parse_arguments() -> argparse.Namespace:
    """Return the settings given on the command line: the keywords of `train`."""
    parser = argparse.ArgumentParser(
        description="Train a neural network to classify handwritten digits, and try it out.",
        epilog="MNIST is kept in data/, or in the folder set by the environment variable "
        "MNIST_DIR. Missing files are downloaded from the URL set by MNIST_MIRROR, or from public "
        "mirrors.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument(
        "--epochs", type=integer(0, 10_000), default=EPOCHS, help="passes through the training set"
    )
    parser.add_argument(
        "--hidden-nodes",
        type=integer(1, 100_000),
        default=HIDDEN_NODES,
        help="number of hidden nodes",
    )
    parser.add_argument(
        "--learning-rate",
        type=parse_learning_rate,
        default=LEARNING_RATE,
        help="learning rate of the first epoch",
    )
    parser.add_argument(
        "--seed",
        type=integer(0, 999_999_999),
        default=0,
        help="seed of the random number generator",
    )
    return parser.parse_args()


def integer(lowest: int, highest: int) -> Callable[[str], int]:
    """Return a `type` for `add_argument` that accepts integers in a range."""

    def parse(text: str) -> int:
        with contextlib.suppress(ValueError):
            if lowest <= int(text) <= highest:
                return int(text)
        raise argparse.ArgumentTypeError(f"must be an integer from {lowest} to {highest:,}")

    return parse


def parse_learning_rate(text: str) -> float:
    """Return a learning rate: a `type` for `add_argument`."""
    with contextlib.suppress(ValueError):
        if 0 < float(text) <= 100:
            return float(text)
    raise argparse.ArgumentTypeError("must be a number above 0 and at most 100")


# Data, training and test


def load_mnist() -> tuple[ImageSet, ImageSet]:
    """Return the training set and the test set, or those of the sample if a download fails."""
    try:
        return get_data("train"), get_data("test")
    except DownloadError:  # `get_data` has printed the reasons
        print("Continuing with the bundled sample, a tenth of MNIST.", file=sys.stderr)
        return get_data("train", folder=SAMPLE_FOLDER), get_data("test", folder=SAMPLE_FOLDER)


def train_with_table(images: Array, labels: Array, settings: argparse.Namespace) -> Network:
    """Return a trained network, and print a table of its training."""
    print(f"Training: 784 pixels, {settings.hidden_nodes} hidden nodes, 10 outputs", flush=True)
    report = training_table(labels) if settings.epochs else None
    return train(images, labels, report=report, **vars(settings))


def training_table(labels: Array) -> Report:
    """Print the header of a table, and return a `report` for `train` that prints a row per epoch.

    In a terminal, the row is also updated during the epoch.
    """
    print("Epoch  Unlearned images   Error  Training accuracy   Time", flush=True)
    live = is_terminal(sys.stdout)
    shown = ""  # the unfinished row on the screen
    started = time.perf_counter()

    def report(epoch: int, epochs: int, done: int, total: int, outputs: Array) -> None:
        nonlocal shown
        start = ("\r" if live else "") + f"{epoch:{len(str(epochs))}}/{epochs}".rjust(5)
        if done == total:
            error = compute_error(outputs, labels)
            accuracy = (outputs.argmax(axis=1) == labels.argmax(axis=1)).mean()
            seconds = time.perf_counter() - started
            print(f"{start}{total:18,}{error:8.4f}{accuracy:19.2%}{seconds:5.1f} s", flush=True)
        elif live and (row := f"{start}{done / total:13.0%} done") != shown:
            print(row, end="", flush=True)
            shown = row

    return report


def evaluate(images: Array, labels: Array, network: Network) -> list[int]:
    """Print the test accuracy, and return the indices of the misclassified images."""
    wrong = predict(images, *network) != labels.argmax(axis=1)
    mistakes: list[int] = np.flatnonzero(wrong).tolist()
    accuracy = 1 - len(mistakes) / len(images)
    print(f"Test accuracy: {accuracy:.2%} ({len(mistakes):,} of {len(images):,} misclassified)")
    return mistakes


# The prompt


def prompt_loop(
    train_set: ImageSet, test_set: ImageSet, mistakes: list[int], network: Network
) -> None:
    """Answer what is typed at the prompt, until `q` or the end of input."""
    ranked = rank_nodes(network)
    next_mistake = itertools.cycle(enumerate(mistakes, start=1))
    next_node = itertools.cycle(ranked)
    rng = np.random.default_rng()
    highest = {"": len(train_set[0]) - 1, "t": len(test_set[0]) - 1, "n": len(ranked) - 1}
    show: dict[str, Callable[[int], None]] = {
        "": functools.partial(show_image, "Training", train_set, network),
        "t": functools.partial(show_image, "Test", test_set, network),
        "n": functools.partial(show_node, ranked, network),
    }
    for line in typed_lines(f"Enter an index (0 - {highest['']}), ? for help, q to quit: "):
        number = re.fullmatch("([tn]?) *([0-9]{1,9})", line)
        if line in ("?", "h", "help"):
            print_wrapped(HELP)
        elif line == "":
            show["t"](int(rng.integers(highest["t"] + 1)))
        elif line == "w" and mistakes:
            count, index = next(next_mistake)
            print(f"Misclassified image {count} of {len(mistakes)}:")
            show["t"](index)
        elif line == "w":
            print("No test image is misclassified.")
        elif line == "n":
            show["n"](next(next_node))
        elif line == "d":
            drawing = draw_digit(network)
            if drawing is not None:
                print("Your digit, as the network sees it:")
                show_prediction(drawing, network)
        elif number and int(number[2]) <= highest[number[1]]:
            show[number[1]](int(number[2]))
        else:
            ranges = f"0 - {highest['']}, t 0 - {highest['t']}, n 0 - {highest['n']}"
            print(f"Enter {ranges}, w, n, d, q or ?.")


def typed_lines(prompt: str) -> Iterator[str]:
    """Yield the lines typed at the prompt, in lower case, until `q` or the end of input."""
    if hasattr(sys.stdin, "reconfigure"):  # not in IDLE
        sys.stdin.reconfigure(errors="replace")
    if sys.stdin.isatty():
        with contextlib.suppress(ImportError):  # not on Windows
            import readline  # noqa: F401 - arrow keys and history at the prompt
    while True:
        try:
            line = input(prompt).strip().lower()
        except EOFError:
            print()
            return
        if not sys.stdin.isatty():
            print()  # where a person would have pressed Enter
        if line in ("q", "quit", "exit"):
            return
        yield line


def print_wrapped(text: str) -> None:
    """Print text, wrapped at words to fit the terminal; indented lines are rows of a table."""
    for line in text.splitlines():
        indent = " " * 9 if line.startswith(" ") else ""
        print(textwrap.fill(line, min(80, terminal_width()), subsequent_indent=indent))


# Pictures in the terminal

ORANGE, RED = 214, 196  # codes in the 256-color palette
SHADES = " .:-=+*#%@"  # of a pixel from 0 to 1, in ASCII
SIGNED_SHADES = "=- +#"  # the same for weights, where 0.5 stands for a weight of 0
GAP = "   "  # between a picture and the text beside it


def show_image(split: str, image_set: ImageSet, network: Network, index: int) -> None:
    """Print the heading of an image, the image, and the prediction."""
    images, labels = image_set
    print(f"{split} image {index}:")
    show_prediction(images[index], network, labels[index])


def show_prediction(image: Array, network: Network, label: Array | None = None) -> None:
    """Print an image, beside it the ten outputs as bars, and below it the prediction."""
    _, outputs = forward_propagation(image, *network)
    prediction = int(outputs.argmax())
    longest_bar = bar_length(20, len("0 0.00 "))
    rows = []
    for digit, output in enumerate(outputs.tolist()):
        bar = round(longest_bar * output) * block()
        rows.append(f"{digit} {output:.2f} {paint(bar, ORANGE) if digit == prediction else bar}")
    print_picture(image.reshape(28, 28), SHADES, ["Output", *rows])
    answer = f"Prediction: {prediction}"
    if label is not None:
        correct = int(label.argmax())
        verdict = ", correct" if prediction == correct else paint("  <-- WRONG", RED)
        answer += f", label: {correct}{verdict}"
    print(answer)


def rank_nodes(network: Network) -> list[int]:
    """Return the indices of the hidden nodes, the strongest first (`HELP` defines strength)."""
    incoming = np.linalg.norm(network.weights_input_to_hidden, axis=0)
    outgoing = np.linalg.norm(network.weights_hidden_to_output, axis=1)
    ranked: list[int] = np.argsort(-incoming * outgoing, kind="stable").tolist()
    return ranked


def show_node(ranked: list[int], network: Network, node: int) -> None:
    """Print the incoming weights of a hidden node as a picture, and the outgoing ones as bars."""
    incoming = network.weights_input_to_hidden[:, node].reshape(28, 28)
    outgoing = network.weights_hidden_to_output[node]
    # With the largest weight as the limit, a picture would be medium gray nearly everywhere.
    limit = np.percentile(np.abs(incoming), 98) or 1
    picture = (1 + incoming / limit).clip(0, 2) / 2
    largest = np.abs(outgoing).max() or 1
    middle = "│" if has_blocks() else "|"
    longest_bar = bar_length(20, len("0 +0.00 |")) // 2
    rows = []
    for digit, weight in enumerate(outgoing.tolist()):
        bar = round(longest_bar * abs(weight) / largest) * block()
        left, right = (bar, "") if weight < 0 else ("", bar)
        rows.append(f"{digit} {weight:+.2f} {left:>{longest_bar}}{middle}{right}")
    scale = np.tile(np.linspace(0, 1, 5), (2, 1))
    (key,) = picture_lines(scale, SIGNED_SHADES)
    print(f"Hidden node {node}, rank {ranked.index(node) + 1} of {len(ranked)} by strength:")
    print(f"Ink lowers its output [{key}] ink raises its output")
    print_picture(picture, SIGNED_SHADES, ["Weight to output", *rows])


def print_picture(picture: Array, shades: str, beside: list[str]) -> None:
    """Print a picture of 28 x 28 pixels, and beside it a title and a row for each digit."""
    right = ["", *(GAP + row for row in beside), "", ""]
    for pixels, row in zip(picture_lines(picture, shades), right, strict=True):
        print((pixels + row).rstrip())


def picture_lines(picture: Array, shades: str) -> list[str]:
    """Return lines in which each character shows a pixel and the pixel below it.

    Pixels range from 0 (dark) to 1 (bright). `shades` is used if stdout has only ASCII.
    """
    upper, lower = picture[::2], picture[1::2]
    if has_colors():
        # Colors 232 to 255 are grays. The foreground colors the upper half of ▀, the background the
        # lower half.
        grays = np.rint(232 + 23 * np.stack([upper, lower], axis=-1)).astype(int)
        return ["".join(f"\x1b[38;5;{u};48;5;{v}m▀" for u, v in row) + "\x1b[0m" for row in grays]
    if has_blocks():
        shades = " ░▒▓█"
    levels = np.rint((upper + lower) / 2 * (len(shades) - 1)).astype(int)
    return ["".join(shades[level] for level in row) for row in levels]


def paint(text: str, color: int) -> str:
    """Return text in a color, or unchanged if stdout has no colors."""
    return f"\x1b[38;5;{color}m{text}\x1b[0m" if has_colors() else text


def has_colors() -> bool:
    """Return whether stdout is a UTF-8 terminal with 256 colors and NO_COLOR is not set."""
    has_256 = "256color" in os.environ.get("TERM", "") or bool(os.environ.get("COLORTERM"))
    no_color = bool(os.environ.get("NO_COLOR"))
    return has_256 and not no_color and has_blocks() and is_terminal(sys.stdout)


def has_blocks() -> bool:
    """Return whether stdout can print block characters, such as █."""
    return sys.stdout.encoding.lower() in ("utf-8", "utf8")


def block() -> str:
    """Return the character that bars are made of."""
    return "█" if has_blocks() else "#"


def bar_length(longest: int, columns: int) -> int:
    """Return the length of the longest bar beside a picture, next to text of some columns."""
    return max(0, min(longest, terminal_width() - 28 - len(GAP) - columns))


def terminal_width() -> int:
    """Return the number of columns."""
    return shutil.get_terminal_size().columns


# The window that `d` opens


def draw_digit(network: Network) -> Array | None:
    """Let the user draw a digit in a window, and return it as the network saw it.

    Return None if nothing was drawn. If no window can be opened, print the reason and return None.
    """
    try:
        import tkinter  # here, because only this needs it, and some systems do not have it

        window = tkinter.Tk()
    except ImportError:
        print_wrapped("Drawing needs tkinter (Debian, Ubuntu: apt install python3-tk).")
        return None
    except tkinter.TclError as error:
        print_wrapped(f"Drawing needs a graphical desktop or ssh -X ({error}).")
        return None
    drawing = DrawingWindow(window, network)
    try:
        print("Draw in the window, and close it to return to the prompt.", flush=True)
        window.mainloop()
    finally:
        window.after_cancel(drawing.timer)
        window.destroy()
    return as_mnist(drawing.picture) if drawing.picture.any() else None


class DrawingWindow:
    """The window for drawing: a square to draw in, and beside it the network's answer."""

    PEN_RADIUS = 11  # pixels: strokes about as thick as MNIST's, if the digit is large
    ORANGE = "#ffaf00"  # the color ORANGE of the terminal

    def __init__(self, window: "tkinter.Tk", network: Network) -> None:
        import tkinter

        self.network, self.window = network, window
        self.picture = np.zeros((280, 280))
        self.pen = 0, 0  # its last position
        self.square = tkinter.Canvas(window, width=280, height=280, background="black")
        self.answer = tkinter.Canvas(window, width=400, height=280, background="gray12")
        self.seen = tkinter.PhotoImage(width=112, height=112)  # on the canvas `answer`
        for column, canvas in enumerate((self.square, self.answer)):
            canvas.configure(highlightthickness=0)
            canvas.grid(row=0, column=column)
        clear = tkinter.Button(window, text="Clear (c or right button)", command=self.clear)
        close = tkinter.Button(window, text="Close (Escape)", command=window.quit)
        clear.grid(row=1, column=0, sticky="ew")
        close.grid(row=1, column=1, sticky="ew")
        self.square.bind("<Button-1>", self.begin_stroke)
        self.square.bind("<B1-Motion>", self.continue_stroke)
        for button in ("<Button-2>", "<Button-3>"):  # the right one, on a Mac and elsewhere
            self.square.bind(button, self.clear)
        for key in ("c", "<Delete>", "<BackSpace>"):
            window.bind(key, self.clear)
        window.bind("<Escape>", lambda _: window.quit())
        window.title("Draw a digit")
        window.resizable(False, False)
        window.protocol("WM_DELETE_WINDOW", window.quit)
        window.report_callback_exception = self.reraise
        self.stay_awake()
        self.clear()

    def begin_stroke(self, event: "tkinter.Event[tkinter.Canvas]") -> None:
        """Begin a stroke where the mouse is."""
        self.pen = event.x, event.y
        self.continue_stroke(event)

    def continue_stroke(self, event: "tkinter.Event[tkinter.Canvas]") -> None:
        """Draw from where the pen was to where the mouse is, and classify the digit."""
        start, self.pen = self.pen, (event.x, event.y)
        self.square.delete("invitation")
        self.square.create_line(
            start, self.pen, width=2 * self.PEN_RADIUS, capstyle="round", fill="white"
        )
        draw_line(self.picture, start, self.pen, self.PEN_RADIUS)
        self.show_answer()

    def clear(self, _event: object = None) -> None:
        """Erase the digit and show the invitation again."""
        self.square.delete("all")
        self.square.create_text(
            140, 140, text="Draw a large digit", fill="gray60", font=("", 16), tags="invitation"
        )
        self.picture[:] = 0
        self.show_answer()

    def show_answer(self) -> None:
        """Show what the network sees, its ten outputs as bars, and its prediction."""
        image: Array = np.zeros(784)
        outputs: Array = np.zeros(10)
        prediction = None
        if self.picture.any():
            image = as_mnist(self.picture)
            _, outputs = forward_propagation(image, *self.network)
            prediction = int(outputs.argmax())
        pixels = np.rint(255 * image.reshape(28, 28)).astype(np.uint8).repeat(4, 0).repeat(4, 1)
        self.seen.configure(data=b"P5 112 112 255 " + pixels.tobytes())  # the PGM format
        self.answer.delete("all")
        self.answer.create_text(76, 16, text="The network sees", fill="gray80")
        self.answer.create_image(20, 32, image=self.seen, anchor="nw")
        if prediction is not None:
            self.answer.create_text(76, 212, text=str(prediction), fill=self.ORANGE, font=("", 72))
        for digit, output in enumerate(outputs.tolist()):
            y = 28 * digit + 14
            color = self.ORANGE if digit == prediction else "gray60"
            self.answer.create_text(170, y, text=str(digit), fill="gray80")
            self.answer.create_rectangle(
                185, y - 10, 185 + 160 * output, y + 10, fill=color, width=0
            )
            if prediction is not None:
                self.answer.create_text(390, y, text=f"{output:.2f}", anchor="e", fill="gray80")

    def stay_awake(self) -> None:
        """Wake Python ten times a second because it does not notice Ctrl-C while tkinter waits."""
        self.timer = self.window.after(100, self.stay_awake)

    def reraise(self, _kind: object, error: BaseException, _traceback: object) -> None:
        """Raise a callback's exception again so that it ends `mainloop`, not just the callback."""
        raise error


def draw_line(picture: Array, start: tuple[int, int], end: tuple[int, int], radius: int) -> None:
    """Set the pixels within a radius of a line to 1."""
    (x, y), right, down = start, end[0] - start[0], end[1] - start[1]
    rows, columns = np.indices(picture.shape)
    # For each pixel, how far along the line its nearest point lies, from 0 (start) to 1 (end).
    along = ((columns - x) * right + (rows - y) * down) / max(1, right**2 + down**2)
    along = np.clip(along, 0, 1)
    picture[np.hypot(columns - x - along * right, rows - y - along * down) <= radius] = 1


if __name__ == "__main__":
    sys.exit(main())
