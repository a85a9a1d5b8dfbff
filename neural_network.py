"""A neural network that learns to read handwritten digits, written from scratch in NumPy.

The 784 pixels of an image feed a hidden layer, and the hidden layer feeds ten outputs, one for
each digit. After what has to happen before NumPy is imported, the file tells a story in order: the
network, how it answers, how it learns, how it is trained. Then come the checks of the arguments
(`_check_...`) and the program that shows it all; `python neural_network.py --help` says how to
run it.
"""

import importlib.util
import os
import signal
import sys

if __name__ == "__main__":
    if importlib.util.find_spec("numpy") is None:
        sys.exit("NumPy is not installed here: README.md says how to, under Run.")
    if signal.getsignal(signal.SIGINT) == signal.default_int_handler:
        signal.signal(signal.SIGINT, lambda *_: os._exit(130))  # no traceback of the imports

    # One BLAS thread is fastest: the matrices are so small that several threads would mostly wait
    # for each other. BLAS reads these variables when NumPy is imported, so they are set before.
    # Whoever has set one, or only imports this module, keeps what they have.
    THREAD_COUNTS = (
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "MKL_NUM_THREADS",
        "BLIS_NUM_THREADS",
        "VECLIB_MAXIMUM_THREADS",
    )
    if os.environ.keys().isdisjoint(THREAD_COUNTS):
        os.environ.update(dict.fromkeys(THREAD_COUNTS, "1"))

import argparse
import contextlib
import io
import itertools
import math
import re
import time
from collections.abc import Callable
from typing import Any, TextIO

import numpy as np
from numpy.typing import ArrayLike, NDArray

from import_data import CacheError, can_show, draw_over, get_data, is_live, progress_bar

Array = NDArray[np.floating[Any]]
Network = tuple[Array, Array, Array, Array]  # in the order of initialize_weights_and_biases
ImageSet = tuple[Array, Array]  # images and labels

# These settings were chosen by training on the first 50,000 training images and testing on the
# other 10,000, for the best accuracy in a second or two. They give 98.56 % (mean of 8 seeds,
# standard error 0.02 %); the comments say what others give.
HIDDEN_NODES = 288  # 224: 98.48 %; 384: 98.61 %, but a third slower
BATCH_SIZE = 32  # 16: 98.50 %; 48 or 64, at a learning rate of 1: 98.52 %, and a little quicker
LEARNING_RATE = 0.7  # of the first step. 0.5: 98.54 %; 1: 98.48 %
# Most images are learned soon, and to go on with them takes time and gains nothing. So an image is
# left out for good once each of its outputs is within TOLERANCE / epochs of its label: the more
# epochs, the stricter. With 8 epochs (0.05) the network sees 2.3 times as many images as there are,
# and becomes as good as with all images 8 times (98.52 %).
TOLERANCE = 0.4

# Digits were scaled to fit 20 x 20 pixels and centred by mass, so that the top and bottom three
# rows hold hardly any ink. Leaving them out costs no accuracy (1 or 4 rows: 98.52 %) and
# saves a fifth of the time.
ROWS_LEFT_OUT = 3
# Each batch is shifted by at most one pixel, so that the network has five versions of each image to
# learn from (98.21 % without). In a flattened image that means to start reading 1 pixel (a column)
# or 28 pixels (a row) earlier or later, so at least one row has to be left out. At the ends of the
# rows pixels of the neighbouring row come in, but these are hardly ever ink.
SHIFTS = (0, -1, 1, -28, 28)
# Mean and deviation of all training pixels. The network learns faster if they are about 0 and 1.
PIXEL_MEAN = 0.1307
PIXEL_DEVIATION = 0.3081

FLOATS = (np.dtype(np.float32), np.dtype(np.float64))  # what arrays may consist of


def initialize_weights_and_biases(
    *, hidden_nodes: int = HIDDEN_NODES, seed: int | np.random.Generator | None = None
) -> Network:
    """Return the weights and biases of a network that has not learned anything yet.

    Each weight is random, divided by the square root of the number of inputs of its node. So for
    inputs of deviation 1, as `train` makes the pixels, the sum of a hidden node has a deviation
    of about 1, and nodes are neither all alike nor stuck at 0 or 1 (LeCun et al., Efficient
    BackProp, 1998). Biases of -2 keep most nodes low at first, near sigmoid(-2) = 0.12. With
    biases of 0 all would start near 0.5, and the sum of the hidden ones would flood the outputs
    (98.3 instead of 98.6 % after training at the same learning rate, 98.4 % at half of it).

    Parameters
    ----------
    hidden_nodes : int
        The size H of the hidden layer.
    seed : int, numpy.random.Generator or None
        None: a different network each time.

    Returns
    -------
    weights_input_to_hidden : float32 array of shape (784, H)
    weights_hidden_to_output : float32 array of shape (H, 10)
    biases_hidden : float32 array of shape (H,)
    biases_output : float32 array of shape (10,)

    Raises
    ------
    ValueError
        If `hidden_nodes` is less than 1.
    """
    if hidden_nodes < 1:
        raise ValueError(f"hidden_nodes is {hidden_nodes}, wanted at least 1")
    random = np.random.default_rng(seed)
    weights_input_to_hidden = random.standard_normal((784, hidden_nodes), dtype=np.float32)
    weights_hidden_to_output = random.standard_normal((hidden_nodes, 10), dtype=np.float32)
    weights_input_to_hidden /= math.sqrt(784)
    weights_hidden_to_output /= math.sqrt(hidden_nodes)
    biases_hidden = np.full(hidden_nodes, -2, dtype=np.float32)
    biases_output = np.full(10, -2, dtype=np.float32)
    return weights_input_to_hidden, weights_hidden_to_output, biases_hidden, biases_output


def sigmoid(x: ArrayLike) -> Array:
    """Squash numbers of any size into the range from 0 to 1.

    Without it two layers could do no more than one: a weighted sum of weighted sums is a weighted
    sum. The usual form 1 / (1 + exp(-x)) is the same as tanh(x / 2) / 2 + 1 / 2, and tanh cannot
    overflow.

    Parameters
    ----------
    x : array of any shape

    Returns
    -------
    array of the same shape and floating-point type
    """
    result = np.asarray(0.5 * np.asarray(x))
    np.tanh(result, out=result)  # in place: half the memory, and quicker
    result *= 0.5
    result += 0.5
    return result


def forward_propagation(
    img: Array,
    weights_input_to_hidden: Array,
    weights_hidden_to_output: Array,
    biases_hidden: Array,
    biases_output: Array,
) -> tuple[Array, Array]:
    """Return what both layers make of one image, or of a batch of N images.

    A node multiplies each of its inputs by a weight, adds up the products and its bias, and
    squashes the sum with `sigmoid`. `@` does this for all nodes of a layer and all images at once.

    Parameters
    ----------
    img : floating-point array of shape (784,) or (N, 784)
    weights_input_to_hidden, weights_hidden_to_output, biases_hidden, biases_output
        As `initialize_weights_and_biases` or `train` returns them.

    Returns
    -------
    hidden_layer_output : array of shape (H,) or (N, H)
    output_layer_output : array of shape (10,) or (N, 10)
        For each digit, from 0 to 1, how strongly the network takes the image for it.

    Raises
    ------
    ValueError
        If the shapes do not fit, there is no image, or `img` does not consist of finite floats.
    """
    _check_network(weights_input_to_hidden, weights_hidden_to_output, biases_hidden, biases_output)
    _check_images("img", img, len(weights_input_to_hidden))

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
    """Return the digit whose output is strongest, with the arguments of `forward_propagation`.

    Returns
    -------
    int for one image, integer array of shape (N,) for a batch

    Raises
    ------
    ValueError
        As `forward_propagation`.
    """
    _, output_layer_output = forward_propagation(
        img, weights_input_to_hidden, weights_hidden_to_output, biases_hidden, biases_output
    )
    digits = output_layer_output.argmax(axis=-1)
    return int(digits) if digits.ndim == 0 else digits


def compute_error(output: Array, label: Array) -> float:
    """Return the mean squared difference between outputs and labels.

    Parameters
    ----------
    output, label : arrays of the same shape, for instance (10,) or (N, 10)

    Raises
    ------
    ValueError
        If the shapes differ, there is nothing to compare, or a number is not finite.
    """
    _check_shape("label", label, np.shape(output))
    if np.size(output) == 0:
        raise ValueError(f"output has shape {np.shape(output)}, wanted at least one number")
    with np.errstate(invalid="ignore", over="ignore"):  # reported below
        error = float(np.mean(np.subtract(output, label, dtype=np.float64) ** 2))
    if not math.isfinite(error):
        raise ValueError("output or label is not finite")
    return error


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
    learning_rate: float = LEARNING_RATE,
) -> None:
    """Change weights and biases a little, in place, so that the outputs come closer to the labels.

    Each weight takes a step against the gradient of the error (Rumelhart, Hinton and Williams,
    Learning representations by back-propagating errors, 1986):

        E = -sum(y log(o) + (1 - y) log(1 - o))     cross-entropy of all outputs o and labels y
        o = sigmoid(z),  do/dz = o (1 - o)

    where z is the sum that enters a node: of input * weight, plus the bias. Call dE/dz the node's
    delta. By the chain rule, for one image,

        dE/do = (1 - y) / (1 - o) - y / o = (o - y) / (o (1 - o))
        delta of an output = dE/do * do/dz = o - y
        delta of a hidden node = sum over the outputs(their delta * weight to them) * h (1 - h)
        dE/dweight = input * delta,  dE/dbias = delta

    because h, the output of the hidden node, changes E only through the sums of the outputs.
    For a batch, the gradient is the mean over its images. With the squared error, which
    `compute_error` reports, o (1 - o) would not cancel, and an output that is badly wrong, where
    o (1 - o) is nearly 0, would hardly learn.

    Parameters
    ----------
    img : floating-point array of shape (784,) or (N, 784)
    label : array of shape (10,) or (N, 10)
        The outputs wanted, from 0 to 1.
    hidden_layer_output, output_layer_output
        What `forward_propagation` returned for `img`.
    weights_hidden_to_output, biases_output, biases_hidden, weights_input_to_hidden
        Are changed in place: writable floating-point arrays.
    learning_rate : float
        What the gradient is multiplied by.

    Raises
    ------
    ValueError
        If the shapes do not fit, there is no image, `img`, a delta or `learning_rate` is not
        finite, a label is not from 0 to 1, or an array cannot be changed in place. Nothing has
        been changed then.
    """
    network = (weights_input_to_hidden, weights_hidden_to_output, biases_hidden, biases_output)
    _check_network(*network)
    for array in network:
        if not array.flags.writeable or array.dtype not in FLOATS:
            raise ValueError("the weights and biases have to be writable arrays of floats")
    _check_images("img", img, len(weights_input_to_hidden))
    _check_shape("label", label, (*img.shape[:-1], *biases_output.shape))
    _check_shape(
        "hidden_layer_output", hidden_layer_output, (*img.shape[:-1], *biases_hidden.shape)
    )
    _check_shape("output_layer_output", output_layer_output, label.shape)
    if not (label.min() >= 0 and label.max() <= 1):
        raise ValueError("label has values that are not from 0 to 1")
    if not math.isfinite(learning_rate):
        raise ValueError(f"learning_rate is {learning_rate}, wanted a finite number")
    if img.ndim == 1:  # one image is a batch of one
        img, label, hidden_layer_output, output_layer_output = np.atleast_2d(
            img, label, hidden_layer_output, output_layer_output
        )

    # Both deltas before any change: delta_hidden needs the weights that gave these outputs. The
    # step is in the deltas already, because they are much smaller arrays than the gradients.
    step = float(learning_rate) / len(img)  # divided by N: the gradient is a mean
    delta_output = step * (output_layer_output - label)
    delta_hidden = delta_output @ weights_hidden_to_output.T
    delta_hidden *= hidden_layer_output
    delta_hidden *= 1 - hidden_layer_output
    if not np.isfinite(delta_hidden).all():
        raise ValueError("a delta is not finite: outputs, weights or learning_rate are not fit")

    weights_hidden_to_output -= hidden_layer_output.T @ delta_output
    biases_output -= delta_output.sum(axis=0)
    weights_input_to_hidden -= img.T @ delta_hidden
    biases_hidden -= delta_hidden.sum(axis=0)


def train(
    images: Array,
    labels: Array,
    *,
    epochs: int | None = None,
    hidden_nodes: int = HIDDEN_NODES,
    learning_rate: float = LEARNING_RATE,
    seed: int | np.random.Generator | None = None,
    report: Callable[[int, int, Array, Array], object] | None = None,
) -> Network:
    """Return weights and biases that have learned to give the labels for the images.

    In each epoch the network goes through all images that it has not learned yet, in a new random
    order, in batches, and takes one step of `backpropagation` after each batch (stochastic gradient
    descent). The learning rate falls with the epochs that are left, down to 0. To show only what
    is not learned yet (see `TOLERANCE`) is the extreme of the emphasizing schemes that section 4.2
    of Efficient BackProp (LeCun et al., 1998) describes. The shifts of the batches are a simple
    form of the distortions of Simard, Steinkraus and Platt (Best practices for convolutional neural
    networks applied to visual document analysis, 2003).

    One BLAS thread is fastest: set OPENBLAS_NUM_THREADS=1 before NumPy is imported, as
    `python neural_network.py` does for itself.

    Parameters
    ----------
    images : floating-point array of shape (N, 784), from 0 to 1
    labels : array of shape (N, 10), one-hot
        A 1 in the column of the digit, 0 elsewhere.
    epochs : int or None
        None: see `default_epochs`.
    hidden_nodes : int
        The size H of the hidden layer.
    learning_rate : float
        That of the first step.
    seed : int, numpy.random.Generator or None
        With the same seed, the same machine, NumPy and number of BLAS threads give the same
        network, bit for bit.
    report : callable or None
        Called after each batch with the number of the epoch, from 1, how many images it has, and
        the outputs and labels of those that it has come to so far. Once all images are learned
        there are no more batches.

    Returns
    -------
    As `initialize_weights_and_biases`.

    Raises
    ------
    ValueError
        If the shapes do not fit, there is no image, `images` are not floats from 0 to 1, `labels`
        are not one-hot, or a setting is not above 0 (or far too large).
    """
    _check_training_set(images, labels)
    if epochs is None:
        epochs = default_epochs(len(images))
    if epochs < 1 or not learning_rate > 0:
        raise ValueError(f"epochs is {epochs}, learning_rate {learning_rate}, wanted above 0")
    random = np.random.default_rng(seed)
    network = initialize_weights_and_biases(hidden_nodes=hidden_nodes, seed=random)
    weights_input_to_hidden, weights_hidden_to_output, biases_hidden, biases_output = network

    first_pixel, end_pixel = 28 * ROWS_LEFT_OUT, 784 - 28 * ROWS_LEFT_OUT
    # Weights of 0 switch the rows left out off; those of the middle learn, through a view.
    weights_input_to_hidden[:first_pixel] = 0
    weights_input_to_hidden[end_pixel:] = 0
    weights_middle_to_hidden = weights_input_to_hidden[first_pixel:end_pixel]
    middle_network = (weights_middle_to_hidden, *network[1:])

    unlearned = np.arange(len(images))
    for epoch in range(epochs):
        order = random.permutation(unlearned)
        epoch_labels = labels[order]
        epoch_outputs = np.empty(epoch_labels.shape, np.float32)
        starts = range(0, len(order), BATCH_SIZE)
        for start, shift in zip(starts, random.choice(SHIFTS, len(starts)), strict=True):
            rows = slice(start, start + BATCH_SIZE)
            # Indexing with an array copies, so that `images` stays as it is.
            img = images[order[rows], first_pixel + shift : end_pixel + shift]
            img -= PIXEL_MEAN
            img *= 1 / PIXEL_DEVIATION
            hidden_layer_output, epoch_outputs[rows] = forward_propagation(img, *middle_network)
            backpropagation(
                img,
                epoch_labels[rows],
                hidden_layer_output,
                epoch_outputs[rows],
                weights_hidden_to_output,
                biases_output,
                biases_hidden,
                weights_middle_to_hidden,
                learning_rate=learning_rate * (1 - (epoch + start / len(order)) / epochs),
            )
            if report is not None:
                report(epoch + 1, len(order), epoch_outputs[: rows.stop], epoch_labels[: rows.stop])
        differences = np.abs(epoch_outputs - epoch_labels)
        unlearned = order[(differences > TOLERANCE / epochs).any(axis=1)]

    # From now on for pixels as they are: weight * (pixel - mean) / deviation
    # = (weight / deviation) * pixel - mean * (weight / deviation)
    weights_middle_to_hidden /= PIXEL_DEVIATION
    biases_hidden -= PIXEL_MEAN * weights_middle_to_hidden.sum(axis=0)
    return network


def default_epochs(image_count: int) -> int:
    """Return the number of epochs that suits a number of images: the fewer images, the more."""
    return 8 if image_count >= 20_000 else 20  # the first 6,000: 96.1 % after 8, 96.8 % after 20


# The checks that the functions above begin with.


def _check_shape(name: str, array: ArrayLike, wanted: tuple[int, ...]) -> None:
    if np.shape(array) != wanted:
        raise ValueError(f"{name} has shape {np.shape(array)}, wanted {wanted}")


def _check_images(name: str, images: Array, pixels: int) -> None:
    if images.ndim not in (1, 2) or images.shape[-1] != pixels or len(images) == 0:
        raise ValueError(
            f"{name} has shape {images.shape}, wanted ({pixels},) or (N, {pixels}), N > 0"
        )
    if images.dtype not in FLOATS or not np.isfinite(images).all():
        raise ValueError(f"{name} has to consist of finite floats (it is {images.dtype})")


def _check_network(
    weights_input_to_hidden: Array,
    weights_hidden_to_output: Array,
    biases_hidden: Array,
    biases_output: Array,
) -> None:
    inputs, hidden_nodes = len(weights_input_to_hidden), len(biases_hidden)
    outputs = len(biases_output)
    _check_shape("weights_input_to_hidden", weights_input_to_hidden, (inputs, hidden_nodes))
    _check_shape("weights_hidden_to_output", weights_hidden_to_output, (hidden_nodes, outputs))
    _check_shape("biases_hidden", biases_hidden, (hidden_nodes,))
    _check_shape("biases_output", biases_output, (outputs,))


def _check_training_set(images: Array, labels: Array) -> None:
    if images.ndim != 2 or images.shape[1] != 784 or len(images) == 0:
        raise ValueError(f"images has shape {images.shape}, wanted (N, 784), N > 0")
    if images.dtype not in FLOATS or not (images.min() >= 0 and images.max() <= 1):
        raise ValueError(f"images has to consist of floats from 0 to 1 (it is {images.dtype})")
    _check_shape("labels", labels, (len(images), 10))
    if not (((labels == 0) | (labels == 1)).all() and (labels.sum(axis=1) == 1).all()):
        raise ValueError("labels has to be one-hot: one 1 and nine 0 in each row")


# From here on: the program. It trains, tests, and answers questions.

HELP = """\
  42     training image 42, which the network has learned from
  t 42   test image 42, which it has never seen
  w      a test image that it gets wrong, another one each time
  ?      this list
  q      quit
The output of a digit is how strongly its node is on, from 0 to 1.
It is not a probability."""
SURE = 0.9  # below this output the second choice is shown, too


def parse_arguments() -> argparse.Namespace:
    """Return the settings that the command line gives."""
    parser = argparse.ArgumentParser(
        description="Train a neural network to read handwritten digits, and ask it.",
        epilog="The images are kept in data/, or in the folder that the environment variable "
        "MNIST_DIR names, and come from public mirrors, or the one that MNIST_MIRROR names.",
    )
    epochs_help = "number of epochs to train for (default: 8; 20 on the bundled sample)"
    nodes_help = "the size of the hidden layer (default: %(default)s)"
    seed_help = "another seed gives another network (default: %(default)s)"
    parser.add_argument("--epochs", type=int, metavar="N", help=epochs_help)
    parser.add_argument(
        "--hidden-nodes", type=int, metavar="N", default=HIDDEN_NODES, help=nodes_help
    )
    parser.add_argument("--seed", type=int, metavar="N", default=0, help=seed_help)
    settings = parser.parse_args()
    if settings.epochs is not None and not 1 <= settings.epochs <= 100_000:
        parser.error("argument --epochs: wanted a number from 1 to 100000")
    if not 1 <= settings.hidden_nodes <= 100_000:
        parser.error("argument --hidden-nodes: wanted a number from 1 to 100000")
    if settings.seed < 0:
        parser.error("argument --seed: wanted at least 0")
    return settings


def training_display(image_count: int, epochs: int) -> Callable[[int, int, Array, Array], None]:
    """Return a `report` for `train` that shows a line for each epoch, in a terminal as it runs.

    Error and accuracy are of all images. Those left out count as right, with an error of 0; the
    others are judged as they come, shifted, just before the network learns from them.
    """
    started = epoch_started = shown = time.monotonic()

    def report(epoch: int, epoch_images: int, outputs: Array, labels: Array) -> None:
        nonlocal epoch_started, shown
        now = time.monotonic()
        part = len(outputs) / epoch_images
        live = is_live(sys.stdout)
        if part < 1 and (not live or now < shown + 0.1):
            return
        shown = now
        fraction = epoch_images / image_count
        error = fraction * compute_error(outputs, labels)
        wrong = fraction * (outputs.argmax(axis=1) != labels.argmax(axis=1)).mean()
        number = f"Epoch {epoch:{len(str(epochs))}}/{epochs}"
        figures = f"{number}  error {error:.4f}  accuracy {1 - wrong:6.2%}"
        # What may be cut on a narrow screen stands last.
        if part < 1:
            # An estimate: as if epoch k had 1 / k of the images; their sum is a logarithm.
            left = (now - epoch_started) / part * (1 - part + epoch * math.log(epochs / epoch))
            bar = progress_bar(part, sys.stdout)
            draw_over(f"{figures}  {math.ceil(left)} s left  {bar}", sys.stdout)
            return
        epoch_started = now
        line = f"{figures}  {now - started:.1f} s  {epoch_images:6,} images"
        if live:
            draw_over(line, sys.stdout, end="\n")
        else:
            print(line, flush=True)

    return report


def has_greys(stream: TextIO) -> bool:
    """Whether `stream` is a terminal of 256 colours, 24 of them grey."""
    names = os.environ.get("TERM", "") + os.environ.get("COLORTERM", "")
    return (
        is_live(stream)
        and not os.environ.get("NO_COLOR")
        and re.search("256color|truecolor|24bit", names) is not None
        and can_show("▀", stream)
    )


def draw(image: Array, stream: TextIO) -> str:
    """Return an image as 14 lines of 28 characters, each for a pixel and the one below it."""
    upper, lower = image.reshape(14, 2, 28).swapaxes(0, 1)
    if has_greys(stream):
        greys = np.rint(232 + 23 * np.stack([upper, lower], axis=-1)).astype(int)
        lines = ["".join(f"\x1b[38;5;{u};48;5;{v}m▀" for u, v in row) + "\x1b[0m" for row in greys]
    else:
        shades = " ░▒▓█" if can_show("░▒▓█", stream) else " .:-=+*#%@"
        levels = np.rint((upper + lower) / 2 * (len(shades) - 1)).astype(int)
        lines = ["".join(shades[level] for level in row).rstrip() for row in levels]
    return "\n".join(lines)


def show(image: Array, label: Array, network: Network) -> None:
    """Print an image, what the network takes it for, and whether that is right."""
    _, output = forward_propagation(image, *network)
    prediction, second = np.argsort(-output)[:2].tolist()
    digit = int(label.argmax())
    answer = f"Prediction: {prediction} (output {output[prediction]:.2f}), label: {digit}"
    answer += ", right" if prediction == digit else "  <-- WRONG"
    if prediction != digit or output[prediction] < SURE:
        answer += f", second choice: {second} (output {output[second]:.2f})"
    print(draw(image, sys.stdout), answer, sep="\n")


def read_line(prompt: str) -> str:
    """Return a line of standard input, or raise `EOFError`."""
    if sys.stdin.isatty() and sys.stdout.isatty():
        return input(prompt)
    print(prompt, end="", flush=True)  # unlike input(), fails if nobody reads it
    line = sys.stdin.readline()
    if not line:
        raise EOFError
    print()  # where a person would have pressed Enter
    return line


def ask(train_set: ImageSet, test_set: ImageSet, mistakes: list[int], network: Network) -> None:
    """Answer the questions on standard input, until `q` or its end."""
    last, last_test = len(train_set[0]) - 1, len(test_set[0]) - 1
    next_mistake = itertools.cycle(enumerate(mistakes, start=1))
    while True:
        try:
            line = read_line(f"Enter an index (0 - {last}), or 'q' to quit: ").strip().lower()
        except EOFError:
            print()
            return
        number = re.fullmatch("(t?) *0*([0-9]{1,9})", line)
        images, labels = test_set if number and number[1] else train_set
        if line == "q":
            return
        if line == "?":
            print(HELP)
        elif line == "w" and mistakes:
            count, index = next(next_mistake)
            print(f"Mistake {count} of {len(mistakes)}, test image {index}:")
            show(test_set[0][index], test_set[1][index], network)
        elif line == "w":
            print("There is no test image that the network gets wrong.")
        elif number and int(number[2]) < len(images):
            show(images[int(number[2])], labels[int(number[2])], network)
        else:
            print(f"Please enter 0 - {last}, t 0 - t {last_test}, w, q, or ? for what these do.")


def run() -> None:
    """Train a network, test it, and let people ask it."""
    settings = parse_arguments()
    train_set = train_images, train_labels = get_data("train")
    test_set = test_images, test_labels = get_data("test")
    epochs = settings.epochs or default_epochs(len(train_images))
    print(
        f"Training 784-{settings.hidden_nodes}-10 on {len(train_images):,} images, "
        f"{epochs} epoch{'s' * (epochs > 1)}:",
        flush=True,
    )
    started = time.monotonic()
    network = train(
        train_images,
        train_labels,
        epochs=epochs,
        hidden_nodes=settings.hidden_nodes,
        seed=settings.seed,
        report=training_display(len(train_images), epochs),
    )
    print(f"Trained in {time.monotonic() - started:.1f} s.")
    mistakes = np.flatnonzero(predict(test_images, *network) != test_labels.argmax(axis=1))
    print(f"Test accuracy: {1 - len(mistakes) / len(test_images):.2%}")
    print(f"It misreads {len(mistakes):,} of the {len(test_images):,} test images: w shows them.")
    ask(train_set, test_set, mistakes.tolist(), network)


def interrupt(*_: object) -> None:
    """Raise `KeyboardInterrupt` once: a second Ctrl-C must not interrupt the exit."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise KeyboardInterrupt


def main() -> int:
    """Run the program and return its exit status; errors are reported in one line."""
    message: str | None = ""  # of Ctrl-C: only ends the line
    try:
        if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:
            signal.signal(signal.SIGINT, interrupt)
        for name in ("stdin", "stdout", "stderr"):
            if getattr(sys, name) is None:  # closed by whoever started the program
                setattr(sys, name, io.TextIOWrapper(io.BytesIO()))
        sys.stdin.reconfigure(errors="replace")  # type: ignore[union-attr]
        if sys.stdin.isatty():
            with contextlib.suppress(ImportError):  # on Windows
                import readline  # noqa: F401  arrow keys and history at the prompt
        try:
            run()
        except SystemExit:  # after --help, which may not have arrived
            sys.stdout.flush()
            raise
        sys.stdout.flush()
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # what is left of the exit takes no time
        return 0
    except KeyboardInterrupt:
        status = 130
    except BrokenPipeError:  # as in `| head -1`
        status, message = 1, None
    except CacheError as error:
        status, message = 1, str(error)
    except MemoryError:
        status, message = 1, "There is not enough memory; try fewer --hidden-nodes."
    except OSError as error:
        status, message = 1, f"Standard input or output failed: {error.strerror or error}."
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with contextlib.suppress(OSError):
        if message is not None:
            print(message, file=sys.stderr)
        # At its end Python writes what is left, and would complain: let that go nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return status


if __name__ == "__main__":
    sys.exit(main())
