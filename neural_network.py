"""A neural network, written from scratch in NumPy, that classifies handwritten digits.

The first half of this module is the network: `forward_propagation` computes its outputs,
`backpropagation` takes one training step, and `train` repeats both, batch by batch. The second half
is the program, which trains a network and lets you try it out. README.md explains the terms and
derives the formulas in the chapter "How it learns".
"""

import argparse
import contextlib
import itertools
import math
import os
import re
import shutil
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

if __name__ == "__main__":
    # Use one thread unless the user has chosen otherwise. With more threads, the BLAS library behind
    # NumPy splits each matrix product across cores, which makes training slightly faster on an idle
    # machine but far slower on a busy one. BLAS reads these variables when NumPy is imported.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("VECLIB_MAXIMUM_THREADS", "1")  # on a Mac

import numpy as np
from numpy.typing import ArrayLike, NDArray

from import_data import DataError, as_mnist, get_data, is_terminal

Array = NDArray[np.floating]  # float32 in `train`; float64 works, too

# A network with more hidden nodes is slightly more accurate but slower to train. LeCun, Bottou,
# Bengio and Haffner (Gradient-based learning applied to document recognition, 1998) also used 300.
HIDDEN_NODES = 300

# All biases start at this value. Because sigmoid(-2) is only 0.12, the hidden nodes start nearly
# off and contribute little to the outputs. With biases of 0, the best learning rate is about half
# as large and the accuracy is lower. The value also suits the output nodes because only one of the
# ten should be on.
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
    For a batch, each image has its own deltas, and E, dE/dw and dE/db are means over the images. The method is
    that of Rumelhart, Hinton and Williams (Learning representations by back-propagating errors,
    1986), who minimized the squared error.

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
    # sums delta_output * w over the ten outputs. The sum is computed before the weights are
    # updated because it needs the weights that produced the outputs.
    delta_output = output_layer_output - label
    derivative_hidden = delta_output @ weights_hidden_to_output.T
    delta_hidden = derivative_hidden * hidden_layer_output * (1 - hidden_layer_output)

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

    Large steps make fast progress at first, but later they would jump back and forth across the
    minimum. Smaller steps at the end let the weights settle.
    """
    rates: list[float] = np.linspace(first, first / 20, epochs).tolist()
    return rates


TOLERANCE = 0.5  # divided by the epoch number; must be at most 1


def select_unlearned(outputs: Array, labels: Array, epoch: int) -> NDArray[np.intp]:
    """Return the indices of the images to train on in this epoch, skipping those already learned.

    An image counts as learned if all ten outputs were within TOLERANCE / epoch of its label when it
    was last in a batch. Its deltas were small at that point, and the time is better spent on the remaining
    images: skipping makes training almost four times as fast at nearly the same accuracy. In the
    first epoch, `outputs` is 0 and no image counts as learned. Then the tolerance shrinks, from
    0.25 in epoch 2 to 0.05 in epoch 10, so images that were learned less well come back. An image
    that was learned very well does not come back because its outputs are computed only when it is
    in a batch, but the network forgets few such images. Skipping is an extreme case of the
    emphasizing schemes of LeCun et al. (Efficient BackProp).
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
    image. Pixels that are shifted off one edge wrap around to the opposite edge, one row higher
    or lower after a horizontal shift, which is harmless because the border of an MNIST image is
    nearly always blank.
    """
    offset = rng.choice([0, -1, 1, -28, 28])  # not at all, left, right, up or down
    return np.roll(images, offset, axis=1)


PIXEL_MEAN, PIXEL_STD = 0.1307, 0.3081  # of all pixels in MNIST's training set


def standardize(images: Array) -> Array:
    """Return pixels shifted and scaled to mean 0 and standard deviation 1 over the training set.

    Background becomes -0.4 and ink 2.8. Because dE/dw = delta * x, these larger inputs make the
    weights of the hidden nodes learn faster relative to the other weights and the biases, which
    raises the accuracy. With inputs on both sides of 0, an image can also increase some
    weights of a hidden node while it decreases others; with pixels from 0 to 1, it would change all
    of them in the same direction or not at all (LeCun et al., Efficient BackProp).
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


# From here on: the program.

ImageSet = tuple[Array, Array]  # images and their labels

HELP = """\
  42     training image 42, which it has learned from
  t 42   test image 42, which it has never seen
  Enter  a random test image
  w      the next test image that it misreads
  d      a digit that you draw with the mouse
  ?      this help
  q      quit

Beside an image stand the ten outputs of the network, one
for each digit: scores from 0 to 1, not probabilities.

In the table of the training, Images counts those that an
epoch learned from. Error (mean squared) and accuracy are
those of all images, by the last answer that the network
gave to each while it learned. So they lag behind."""


def parse_arguments() -> argparse.Namespace:
    """Return the settings that the command line gives."""
    parser = argparse.ArgumentParser(
        description="Train a neural network to read handwritten digits, and try it out.",
        epilog="MNIST is kept in data/, or in the folder that the environment variable MNIST_DIR "
        "names. It comes from public mirrors, or from the URL that MNIST_MIRROR names.",
    )
    for name, default, meaning in (
        ("--epochs", EPOCHS, "passes through the training set"),
        ("--hidden-nodes", HIDDEN_NODES, "size of the hidden layer"),
        ("--seed", 0, "seed of the random generator"),
    ):
        words = f"{meaning} (default: %(default)s)"
        parser.add_argument(name, type=int, default=default, help=words)
    settings = parser.parse_args()
    if not all(0 <= value < 10**9 for value in vars(settings).values()):
        parser.error("--epochs, --hidden-nodes and --seed must be from 0 to 999999999")
    return settings


def training_display(labels: Array) -> Callable[..., None]:
    """Return a `report` for `train` that prints a row for each epoch, in a terminal as it runs."""
    live = is_terminal(sys.stdout)

    def report(epoch: int, epochs: int, done: int, count: int, outputs: Array) -> None:
        start = ("\r" if live else "") + f"{epoch:{len(str(epochs))}}/{epochs}".rjust(5)
        if done == count:
            error = compute_error(outputs, labels)
            accuracy = (outputs.argmax(axis=1) == labels.argmax(axis=1)).mean()
            print(f"{start}{count:9,}{error:8.4f}{accuracy:10.2%}", flush=True)
        elif live and done // BATCH_SIZE % 10 == 0:
            print(f"{start}{done / count:9.0%}", end="", flush=True)

    return report


def image_lines(image: Array, *, has_blocks: bool) -> list[str]:
    """Return an image as 14 lines of 28 characters, each for a pixel and the one below it."""
    upper, lower = image.reshape(14, 2, 28).swapaxes(0, 1)
    has_colours = "256color" in os.environ.get("TERM", "") or os.environ.get("COLORTERM")
    if has_blocks and has_colours and is_terminal(sys.stdout) and not os.environ.get("NO_COLOR"):
        # Of the 256 colours 232 to 255 are greys: the foreground is the upper pixel.
        greys = np.rint(232 + 23 * np.stack([upper, lower], axis=-1)).astype(int)
        return ["".join(f"\x1b[38;5;{u};48;5;{v}m▀" for u, v in row) + "\x1b[0m" for row in greys]
    shades = " ░▒▓█" if has_blocks else " .:-=+*#%@"
    levels = np.rint((upper + lower) / 2 * (len(shades) - 1)).astype(int)
    return ["".join(shades[level] for level in row) for row in levels]


def show(image: Array, network: Network, label: Array | None = None) -> None:
    """Print an image, beside it the ten outputs of the network, and below them its answer."""
    _, outputs = forward_propagation(image, *network)
    has_blocks = sys.stdout.encoding.lower() in ("utf-8", "utf8")
    # 28 characters of the image and ten with the digit and its output leave room for the bar.
    longest_bar = min(20, shutil.get_terminal_size().columns - 39)
    beside = [""] * 14
    for digit, output in enumerate(outputs.tolist()):
        bar = round(longest_bar * output) * ("█" if has_blocks else "#")
        beside[2 + digit] = f"   {digit} {output:.2f} {bar}"
    for left, right in zip(image_lines(image, has_blocks=has_blocks), beside, strict=True):
        print((left + right).rstrip())
    prediction = int(outputs.argmax())
    answer = f"Prediction: {prediction}"
    if label is not None:
        correct = int(label.argmax())
        answer += f", label: {correct}" + (", right" if prediction == correct else "  <-- WRONG")
    print(answer)


def ask(train_set: ImageSet, test_set: ImageSet, mistakes: list[int], network: Network) -> None:
    """Answer what is typed at the prompt, until `q` or the end of input."""
    last, last_test = len(train_set[0]) - 1, len(test_set[0]) - 1
    rng = np.random.default_rng()
    mistakes_in_turn = itertools.cycle(enumerate(mistakes, start=1))
    while True:
        try:
            line = input(f"Enter an index (0 - {last}), ? for help, 'q' to quit: ").strip().lower()
        except EOFError:
            print()
            return
        if not sys.stdin.isatty():
            print()  # where a person would have pressed Enter
        if line in ("q", "quit", "exit"):
            return
        image_set, index = test_set, None  # which image to show, if any
        if line in ("?", "h", "help"):
            print(HELP)
        elif line == "":
            index = int(rng.integers(last_test + 1))
        elif line == "w" and mistakes:
            count, index = next(mistakes_in_turn)
            print(f"Mistake {count} of {len(mistakes)}:")
        elif line == "w":
            print("No mistakes.")
        elif line == "d":
            drawing = draw_digit(network)
            if drawing is not None:
                show(drawing, network)
        else:
            number = re.fullmatch("(t?) *([0-9]{1,9})", line)
            image_set = test_set if number and number[1] else train_set
            if number and int(number[2]) < len(image_set[0]):
                index = int(number[2])
            else:
                print(f"Please enter 0 - {last}, t 0 - t {last_test}, w, d, q, or ? for help.")
        if index is not None:
            print(f"{'Test' if image_set is test_set else 'Training'} image {index}:")
            images, labels = image_set
            show(images[index], network, labels[index])


def run() -> None:
    """Train a network, test it, and let people try it out."""
    settings = parse_arguments()
    images, labels = get_data("train")
    test_images, test_labels = get_data("test")
    print(f"Training 784-{settings.hidden_nodes}-10 on {len(images):,} images:")
    print("Epoch   Images   Error  Accuracy", flush=True)
    started = time.perf_counter()
    network = train(images, labels, report=training_display(labels), **vars(settings))
    seconds = time.perf_counter() - started
    mistakes = np.flatnonzero(predict(test_images, *network) != test_labels.argmax(axis=1))
    print(f"Test accuracy: {1 - len(mistakes) / len(test_images):.2%} after {seconds:.1f} s")
    print(f"Misread: {len(mistakes):,} of {len(test_images):,} (w shows them)")
    if len(images) < 60_000:
        print("This is only the bundled sample.")
    ask((images, labels), (test_images, test_labels), mistakes.tolist(), network)


def main() -> int:
    """Run the program and return its exit status; a fault is one line on stderr."""
    try:
        if hasattr(sys.stdin, "reconfigure"):  # not in IDLE
            sys.stdin.reconfigure(errors="replace")
        if sys.stdin.isatty():
            with contextlib.suppress(ImportError):  # not on Windows
                import readline  # noqa: F401 - arrow keys and history at the prompt
        run()
        sys.stdout.flush()
        return 0
    except KeyboardInterrupt:
        print(file=sys.stderr)  # ends the line that the cursor is on
        return 130
    except BrokenPipeError:  # nobody reads on, as in `| head -1`
        pass
    except ModuleNotFoundError as error:  # requests
        print(f"{error}: pip install -r requirements.txt installs it", file=sys.stderr)
    except MemoryError:
        print("Out of memory: 300 MB are needed, more with many --hidden-nodes", file=sys.stderr)
    except (DataError, OSError) as error:  # OSError: a full disk, for instance
        print(error, file=sys.stderr)
    # What could not be written to stdout is still waiting. Python would try again when it ends.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return 1


# The window that `d` opens.


def draw_digit(network: Network) -> Array | None:
    """Let people draw a digit in a window, and return it as the network saw it.

    Return None if nothing was drawn. If there can be no window, a line says why.
    """
    try:
        import tkinter  # here, because only this needs it, and some systems do not have it

        window = tkinter.Tk()
    except ImportError:
        print("Drawing needs tkinter (Debian, Ubuntu: apt install python3-tk).")
        return None
    except tkinter.TclError as error:
        print(f"Drawing needs a window: {error}.")
        return None
    drawing = Drawing(window, network)
    try:
        print("Draw in the window. When you close it, this goes on.", flush=True)
        window.mainloop()
    finally:
        window.after_cancel(drawing.timer)
        window.destroy()
    return as_mnist(drawing.picture) if drawing.picture.any() else None


class Drawing:
    """What is in the window: a square to draw in, and the outputs of the network as bars."""

    PEN_RADIUS = 11  # pixels: strokes about as thick as MNIST's, for a digit of usual size

    def __init__(self, window: Any, network: Network) -> None:
        from tkinter import Button, Canvas

        self.network, self.window = network, window
        self.picture = np.zeros((280, 280))
        self.pen = 0, 0  # where it was last
        self.square, self.bars = (
            Canvas(window, width=280, height=280, background=colour, highlightthickness=0)
            for colour in ("black", "white")
        )
        self.square.grid(row=0, column=0)
        self.bars.grid(row=0, column=1)
        Button(window, text="Clear", command=self.clear).grid(row=1, columnspan=2, sticky="ew")
        self.square.bind("<Button-1>", self.put_pen)
        self.square.bind("<B1-Motion>", self.move_pen)
        window.title("Draw a digit")
        window.resizable(False, False)
        window.protocol("WM_DELETE_WINDOW", window.quit)
        window.report_callback_exception = self.raise_again
        self.stay_awake()
        self.clear()

    def put_pen(self, event: Any) -> None:
        """Begin a stroke where the mouse is."""
        self.pen = event.x, event.y
        self.move_pen(event)

    def move_pen(self, event: Any) -> None:
        """Draw from where the pen was to where the mouse is, and read the digit."""
        (x, y), self.pen = self.pen, (event.x, event.y)
        self.square.create_line(
            x, y, event.x, event.y, width=2 * self.PEN_RADIUS, capstyle="round", fill="white"
        )
        # The same in the picture: each pixel that is near enough to the nearest point of the line.
        rows, columns = np.mgrid[:280, :280]
        right, down = event.x - x, event.y - y
        part = ((columns - x) * right + (rows - y) * down) / max(1, right**2 + down**2)
        part = part.clip(0, 1)  # of the way to that point: from 0, where it begins, to 1
        distances = np.hypot(columns - x - part * right, rows - y - part * down)
        self.picture[distances <= self.PEN_RADIUS] = 1
        self.read()

    def clear(self) -> None:
        """Make the square black again."""
        self.square.delete("all")
        self.picture[:] = 0
        self.read()

    def read(self) -> None:
        """Show the outputs of the network as bars, the highest in another colour."""
        outputs: Array = np.zeros(10)
        if self.picture.any():
            _, outputs = forward_propagation(as_mnist(self.picture), *self.network)
        self.bars.delete("all")
        for digit, output in enumerate(outputs.tolist()):
            y = 28 * digit
            colour = "orange" if 0 < output == outputs.max() else "grey"
            self.bars.create_text(15, y + 14, text=str(digit))
            self.bars.create_rectangle(30, y + 4, 30 + 240 * output, y + 24, fill=colour, width=0)

    def stay_awake(self) -> None:
        """Wake Python ten times a second: while tkinter waits, it does not notice Ctrl-C."""
        self.timer: str = self.window.after(100, self.stay_awake)

    def raise_again(self, _kind: object, error: BaseException, _traceback: object) -> None:
        """End `mainloop` with what was raised in a callback; tkinter would print it and go on."""
        raise error


if __name__ == "__main__":
    sys.exit(main())
