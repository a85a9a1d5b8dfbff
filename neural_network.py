"""A neural network, written from scratch in NumPy, that classifies handwritten digits.

`forward_propagation` computes the outputs of the network, `backpropagation` takes one training
step, and `train` repeats both, batch by batch. The second half of this module is the program, which
trains a network and lets you try it out. README.md explains the terms and derives the formulas.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import os
import re
import sys
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

if __name__ == "__main__":
    # Use one thread unless the user has chosen otherwise. With more threads, training is slightly
    # faster on an idle machine but far slower on a busy one. The BLAS library behind NumPy reads
    # these variables when NumPy is imported.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("VECLIB_MAXIMUM_THREADS", "1")  # on a Mac

import numpy as np
from numpy.typing import ArrayLike, NDArray

from import_data import SAMPLE_FOLDER, DataError, DownloadError, as_mnist, get_data, is_terminal

if TYPE_CHECKING:
    import tkinter

# The network

Array = NDArray[np.floating]  # float32 in `train`; float64 works, too

# As in LeCun, Bottou, Bengio and Haffner, Gradient-based learning applied to document recognition,
# 1998; more nodes are slightly more accurate but slower to train.
HIDDEN_NODES = 300


class Network(NamedTuple):
    """Everything that a network with H hidden nodes learns: its weights and biases."""

    weights_input_to_hidden: Array  # (784, H): a row for each pixel, a column for each hidden node
    weights_hidden_to_output: Array  # (H, 10): a row for each hidden node, a column for each digit
    biases_hidden: Array  # (H,)
    biases_output: Array  # (10,)


def initialize_weights_and_biases(
    *, hidden_nodes: int = HIDDEN_NODES, seed: int | np.random.Generator | None = None
) -> Network:
    """Return an untrained network of float32 arrays.

    The weights of a node with n inputs are drawn from a normal distribution with mean 0 and
    standard deviation 1 / sqrt(n) (LeCun, Bottou, Orr and Müller, Efficient BackProp, 1998). All
    biases are `INITIAL_BIAS`.

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
    """Return 1 / (1 + exp(-x)) for each element of a floating-point array."""
    # For very negative x, exp(-x) overflows to infinity, but the result is still correct: 0.
    with np.errstate(over="ignore"):
        return 1 / (1 + np.exp(-x))


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

    Training minimizes the cross-entropy instead (see `backpropagation`).

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
    the correct output, 1 or 0. The cross-entropy E of an image and its derivatives are

        E = sum over the outputs of  -y * log(o) - (1 - y) * log(1 - o)
        delta_output = dE/dz of an output node = o - y
        delta_hidden = dE/dz of a hidden node
                     = (sum over the outputs of  delta_output * w) * h * (1 - h),
                       where w is the weight from the hidden node to the output
        dE/dw = delta * x
        dE/db = delta

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
        from 0 to 1; batches allow a higher rate.

    Raises
    ------
    ValueError
        If the shapes of `output_layer_output` and `label` differ, or if `img` has a different
        number of images.
    """
    check_same_shape(output_layer_output, label)
    # A single image becomes a batch of one, so every array has one row for each image.
    img, label, hidden_layer_output, output_layer_output = np.atleast_2d(
        img, label, hidden_layer_output, output_layer_output
    )
    if len(img) != len(label):
        raise ValueError(f"img must contain as many images as label, {len(label)}, not {len(img)}")

    # Both deltas are computed before any update, from the weights that produced the outputs.
    delta_output = output_layer_output - label
    slope_hidden = hidden_layer_output * (1 - hidden_layer_output)
    delta_hidden = (delta_output @ weights_hidden_to_output.T) * slope_hidden

    # Scaling the deltas is cheaper than scaling the products, which are larger. `-=` changes the
    # caller's arrays, whereas `w = w - ...` would create new ones.
    rate_per_image = learning_rate / len(img)
    weights_hidden_to_output -= hidden_layer_output.T @ (rate_per_image * delta_output)
    biases_output -= rate_per_image * delta_output.sum(axis=0)
    weights_input_to_hidden -= img.T @ (rate_per_image * delta_hidden)
    biases_hidden -= rate_per_image * delta_hidden.sum(axis=0)


def check_same_shape(output: Array, label: Array) -> None:
    """Raise a `ValueError` if the shapes differ, because NumPy might otherwise broadcast them."""
    if np.shape(label) != np.shape(output):
        raise ValueError(f"label must have shape {np.shape(output)}, not {np.shape(label)}")


# Training

Report = Callable[[int, int, int, Array], object]  # epoch, done, total, outputs

EPOCHS = 10  # more epochs give a slightly higher accuracy but take longer
LEARNING_RATE = 1.2  # in the first epoch; anything from 0.9 to 1.6 works just as well
SETTINGS = {  # the default, the range, and the text for --help
    "epochs": (EPOCHS, (0, 10_000), "number of epochs"),
    "hidden_nodes": (HIDDEN_NODES, (1, 10_000), "number of hidden nodes"),
    "learning_rate": (LEARNING_RATE, (0.0001, 100), "learning rate of the first epoch"),
    "seed": (0, (0, 2**32), "seed of the random number generator"),
}


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

    In each epoch, the images not yet learned are shuffled and split into batches, and each batch
    gives one step. Images and labels of any numeric dtype are converted to float32.

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
        Called after each step as report(epoch, done, total, outputs). `epoch` counts from 1, and
        `done` of the `total` images in this epoch have been used. `outputs`, of shape (N, 10),
        holds the outputs of each image from its last batch (shifted, before the step), or zeros if
        it has had none. The next step overwrites the array.

    Returns
    -------
    Network
        The trained network, which takes pixels from 0 to 1: `predict(img, *network)`.

    Raises
    ------
    ValueError
        If `images` or `labels` are not as described, or a setting is out of its range in
        `SETTINGS`.
    """
    images = np.asarray(images, np.float32)
    labels = np.asarray(labels, np.float32)
    check_training_set(images, labels)
    check_settings(epochs=epochs, hidden_nodes=hidden_nodes, learning_rate=learning_rate)
    rng = np.random.default_rng(seed)
    network = initialize_weights_and_biases(hidden_nodes=hidden_nodes, seed=rng)
    latest_outputs = np.zeros_like(labels)  # so every image counts as unlearned in epoch 1

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
            if report is not None:
                report(epoch, done, len(order), latest_outputs)
    return absorb_standardization(network)


def check_training_set(images: Array, labels: Array) -> None:
    """Raise a `ValueError` that names the problem if the images or labels are invalid."""
    if images.ndim != 2 or images.shape[1] != 784 or len(images) == 0:
        raise ValueError(f"images must have shape (N, 784), N > 0, not {images.shape}")
    low, high = images.min(), images.max()  # both are NaN if any pixel is
    if not (low >= 0 and high <= 1):
        raise ValueError(f"pixels must be from 0 to 1 (divide by 255?), not {low:g} to {high:g}")
    if labels.shape != (len(images), 10):
        raise ValueError(f"labels must have shape ({len(images)}, 10), not {labels.shape}")
    if not np.array_equal(labels, np.eye(10)[labels.argmax(axis=1)]):
        raise ValueError("labels must be one-hot: a single 1 in each row, and 0 elsewhere")


def check_settings(**settings: float) -> None:
    """Raise a `ValueError` that names the problem if a setting is out of its range."""
    for name, value in settings.items():
        _, (lowest, highest), _ = SETTINGS[name]
        if not lowest <= value <= highest:
            raise ValueError(f"{name} must be from {lowest} to {highest}, not {value}")


# The six techniques that make training fast and the network accurate

# 1. Hidden nodes that start nearly off: sigmoid(-2) is 0.12

INITIAL_BIAS = -2  # also of the output nodes, where the value hardly matters


# 2. A falling learning rate


def learning_rates(first: float, epochs: int) -> list[float]:
    """Return a learning rate for each epoch, falling linearly to a twentieth of the first."""
    # As Python floats, unlike NumPy's, the rates keep the products with float32 arrays in float32.
    return np.linspace(first, first / 20, epochs).tolist()


# 3. Skipping images that are already learned

TOLERANCE = 0.5  # must not exceed 1, or epoch 1 would skip images


def select_unlearned(outputs: Array, labels: Array, epoch: int) -> NDArray[np.intp]:
    """Return the indices of the images to train on in this epoch, skipping those already learned.

    An image counts as learned if, in its last batch, all ten outputs were within TOLERANCE / epoch
    of its label. The tolerance shrinks, so all but the best learned images come back. (This
    is an extreme case of the emphasizing schemes of LeCun et al., Efficient BackProp.)
    """
    largest_errors = np.abs(outputs - labels).max(axis=1)
    return np.flatnonzero(largest_errors >= TOLERANCE / epoch)


# 4. Batches

BATCH_SIZE = 64  # with larger batches, an epoch has fewer steps and the accuracy is lower


def split_into_batches(order: NDArray[np.intp]) -> list[NDArray[np.intp]]:
    """Split the indices of images into batches of at most `BATCH_SIZE`, of nearly equal size.

    Otherwise, a small last batch with its noisier gradient would count as much as a full one.
    """
    count = math.ceil(len(order) / BATCH_SIZE)
    # For example, ten images in three batches are 0 3 6 9, 1 4 7 and 2 5 8.
    return [order[start::count] for start in range(count)]


# 5. Shifted images


def shift_randomly(images: Array, rng: np.random.Generator) -> Array:
    """Return a batch of images, shifted together by one pixel in a random direction or not at all.

    See Simard, Steinkraus and Platt, Best practices for convolutional neural networks applied to
    visual document analysis, 2003. Pixels that are shifted off one edge reappear at the opposite
    edge (after a horizontal shift, one row off), which is harmless because the border of an MNIST
    image is nearly always blank.
    """
    offset = (0, -1, 1, -28, 28)[rng.integers(5)]  # not at all, left, right, up or down
    return np.roll(images, offset, axis=1)


# 6. Standardized pixels

PIXEL_MEAN, PIXEL_STD = 0.1307, 0.3081  # of all pixels in the training set of MNIST


def standardize(images: Array) -> Array:
    """Rescale pixels so that those of the training set have mean 0 and standard deviation 1.

    LeCun et al. (Efficient BackProp) recommend it.
    """
    return (images - PIXEL_MEAN) / PIXEL_STD


def absorb_standardization(network: Network) -> Network:
    """Return an equivalent network that takes pixels from 0 to 1 instead of standardized ones."""
    # w * (x - mean) / std  =  (w / std) * x  -  mean * (w / std)
    weights = network.weights_input_to_hidden / PIXEL_STD
    biases = network.biases_hidden - PIXEL_MEAN * weights.sum(axis=0)
    return network._replace(weights_input_to_hidden=weights, biases_hidden=biases)


# The program

ImageSet = tuple[Array, Array]  # images and their labels


def main() -> None:
    """Train a network, evaluate it, and let the user try it out."""
    settings = parse_arguments()
    train_set, test_set = load_mnist()
    print(f"Training: 784 pixels, {settings.hidden_nodes} hidden nodes, 10 outputs")
    report = training_table(train_set[1], settings.epochs) if settings.epochs else None
    network = train(*train_set, report=report, **vars(settings))
    mistakes = evaluate(*test_set, network)
    if len(train_set[0]) < 60_000:
        print(SAMPLE_NOTICE)
    print("Try w for a mistake, n for a hidden node, d to draw a digit.")
    prompt_loop(train_set, test_set, mistakes, network)


SAMPLE_NOTICE = """\
Trained on the bundled sample, a tenth of MNIST. For all of
it, put the MNIST files into data/ or the folder set by
MNIST_DIR, or set MNIST_MIRROR to the URL of a mirror."""


def parse_arguments() -> argparse.Namespace:
    """Return the settings given on the command line, as keyword arguments for `train`."""
    parser = argparse.ArgumentParser(
        description="Train a neural network to classify handwritten digits, and try it out.",
        epilog="Environment: MNIST_DIR (the folder of the MNIST files), MNIST_MIRROR (a URL).",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    for name, (value, _, text) in SETTINGS.items():
        option = "--" + name.replace("_", "-")
        parser.add_argument(option, type=type(value), default=value, help=text)
    settings = parser.parse_args()
    try:
        check_settings(**vars(settings))
    except ValueError as error:
        parser.error("--" + str(error).replace("_", "-"))
    return settings


def load_mnist() -> tuple[ImageSet, ImageSet]:
    """Return the training set and the test set, or those of the sample if a download fails."""
    try:
        return get_data("train"), get_data("test")
    except DownloadError:  # `get_data` has printed the reasons
        return get_data("train", folder=SAMPLE_FOLDER), get_data("test", folder=SAMPLE_FOLDER)


def training_table(labels: Array, epochs: int) -> Report:
    """Print the header of a table, and return a `report` for `train` that prints a row per epoch.

    In a terminal, the row is also updated during the epoch.
    """
    print("Epoch  Images used   Error  Training accuracy  Elapsed", flush=True)
    digits = labels.argmax(axis=1)
    live = is_terminal(sys.stdout)
    started = time.perf_counter()

    def report(epoch: int, done: int, total: int, outputs: Array) -> None:
        row = ("\r" if live else "") + f"{epoch:{len(str(epochs))}}/{epochs}".rjust(5)
        if done == total:
            error = compute_error(outputs, labels)
            accuracy = (outputs.argmax(axis=1) == digits).mean()
            seconds = time.perf_counter() - started
            print(f"{row}{total:13,}{error:8.4f}{accuracy:19.2%}{seconds:7.1f} s", flush=True)
        elif live:
            print(f"{row}{done / total:13.0%}", end="", flush=True)

    return report


def evaluate(images: Array, labels: Array, network: Network) -> list[int]:
    """Print the test accuracy, and return the indices of the misclassified images."""
    mistakes = np.flatnonzero(predict(images, *network) != labels.argmax(axis=1)).tolist()
    accuracy = 1 - len(mistakes) / len(images)
    print(f"Test accuracy: {accuracy:.2%} ({len(mistakes):,} of {len(images):,} misclassified)")
    return mistakes


# The prompt

HELP = """\
  42     training image 42, which the network learned from
  t 42   test image 42, which the network has never seen
  Enter  a random test image
  w      the next test image that the network misclassifies
  n      the next hidden node, the strongest first
  n 42   hidden node 42
  d      draw a digit yourself
  ?      this help
  q      quit (or Ctrl-D; on Windows Ctrl-Z and Enter)

Bars: orange for the prediction, red and < for the label if
that is different. Below 0.5, the prediction is unsure, but
half of all scribbles and nearly all letters exceed it, too.

A hidden node turns all pixels into one number, which raises
or lowers the outputs. It may be shown negated. Its strength
is the norm of its weights in times that of its weights out.

The images used are those not yet learned by a standard that
tightens, so their number can rise. The error (mean squared)
and the accuracy are over all training images, each with its
outputs from its last batch, shifted, before the update."""


def prompt_loop(
    train_set: ImageSet, test_set: ImageSet, mistakes: list[int], network: Network
) -> None:
    """Answer the commands typed at the prompt, until `q` or the end of input."""
    ranked = rank_nodes(network)
    rank = mistake = -1  # positions in `ranked` and `mistakes`, last shown
    rng = np.random.default_rng()
    last, last_test, last_node = len(train_set[0]) - 1, len(test_set[0]) - 1, len(ranked) - 1
    prompt = f"Enter an index (0 - {last}), ? for help, q to quit: "
    with contextlib.suppress(ImportError):  # not on Windows
        import readline  # noqa: F401 - arrow keys and history at the prompt
    while (line := read_line(prompt)) not in ("q", "quit", "exit"):
        words = re.findall(r"[a-z]+|[0-9]{1,9}|\S", line)
        match [int(word) if word[0] in "0123456789" else word for word in words]:
            case [int(index)] if index <= last:
                show_image("Training", train_set, network, index)
            case ["t", int(index)] if index <= last_test:
                show_image("Test", test_set, network, index)
            case []:
                show_image("Test", test_set, network, int(rng.integers(last_test + 1)))
            case ["w"] if mistakes:
                mistake = (mistake + 1) % len(mistakes)
                title = f"Mistake {mistake + 1} of {len(mistakes)}, test"
                show_image(title, test_set, network, mistakes[mistake])
            case ["n"]:
                rank = (rank + 1) % len(ranked)
                show_node(ranked, rank, network, test_set)
            case ["n", int(node)] if node <= last_node:
                rank = ranked.index(node)
                show_node(ranked, rank, network, test_set)
            case ["d"]:
                draw_digit(network)
            case ["?" | "h" | "help"]:
                print(HELP)
            case _:
                ranges = f"0-{last}, t 0-{last_test}, n 0-{last_node}"
                print(f"Type {ranges}, n, w, d, ?, q or Enter.")


def read_line(prompt: str) -> str:
    """Return the line typed at the prompt, in lower case, or `q` at the end of input."""
    try:
        return input(prompt).strip().lower()
    except EOFError:
        print()
        return "q"


def rank_nodes(network: Network) -> list[int]:
    """Return the indices of the hidden nodes, the strongest first (`HELP` defines strength)."""
    incoming = np.linalg.norm(network.weights_input_to_hidden, axis=0)
    outgoing = np.linalg.norm(network.weights_hidden_to_output, axis=1)
    return np.argsort(-incoming * outgoing, kind="stable").tolist()


# Pictures in the terminal

ORANGE, RED = 214, 196  # codes in the 256-color palette


def show_image(title: str, image_set: ImageSet, network: Network, index: int) -> None:
    """Print the title and the index of an image, and the image with its prediction and label."""
    images, labels = image_set
    print(f"{title} image {index}:")
    show_prediction(images[index], network, labels[index])


def show_prediction(image: Array, network: Network, label: Array | None = None) -> None:
    """Print an image, with the ten outputs as bars beside it and the prediction below.

    Parameters
    ----------
    image : array of shape (784,)
        Pixels from 0 (background) to 1 (ink).
    network : Network
    label : array of shape (10,), optional
        The correct outputs, to be compared with the prediction.
    """
    _, outputs = forward_propagation(image, *network)
    prediction = int(outputs.argmax())
    correct = prediction if label is None else int(label.argmax())
    rows = []
    for digit, output in enumerate(outputs.tolist()):
        color = {correct: RED, prediction: ORANGE}.get(digit)  # orange if both are this digit
        bar = round(20 * output) * ("█" if has_colors() else "#")
        rows.append(f"{digit} {output:.2f}{'<' if color == RED else ' '}{paint(bar, color)}")
    print_beside(picture_lines(image, *GRAYS), ["", "Output", *rows, "", ""])
    answer = f"Prediction: {prediction}{' (unsure)' if outputs.max() < 0.5 else ''}"
    if label is not None:
        verdict = ", correct" if prediction == correct else paint("  <-- WRONG", RED)
        answer += f", label: {correct}{verdict}"
    print(answer)


def show_node(ranked: list[int], rank: int, network: Network, image_set: ImageSet) -> None:
    """Print a picture of the weights of a hidden node, beside an image that turns it up."""
    weights, pro, con, best = describe_node(network, ranked[rank], image_set)
    print(f"Hidden node {ranked[rank]}, rank {rank + 1} of {len(ranked)} by strength:")
    print_beside(picture_lines(weights, *SIGNED), picture_lines(image_set[0][best], *GRAYS))
    up, down = ("orange", "blue") if has_colors() else ("+", "-")
    against = f" and against {' '.join(map(str, con))}" if con else ""
    print(f"Left: ink on {up} turns this node up, ink on {down} down.")
    print(f"Turned up, it speaks for {' '.join(map(str, pro))}{against}.")
    print(f"Right: the {pro[0]} that turns it up most, test image {best}.")


def describe_node(
    network: Network, node: int, image_set: ImageSet
) -> tuple[Array, list[int], list[int], int]:
    """Describe a hidden node by its weights, the digits it speaks for, and its best image.

    If the strongest weight to an output is negative, a low output of the node speaks for that
    digit. Since sigmoid(-z) = 1 - sigmoid(z), all weights are then negated.

    Returns
    -------
    weights : array of shape (784,)
        From 0 to 1, for the colors in `SIGNED`; 0.5 stands for a weight of 0.
    pro, con : list of int
        The digits with weights above half of the strongest, and below minus half of it, the
        strongest first.
    best : int
        The index of the image of digit `pro[0]` with the highest weighted sum.
    """
    images, labels = image_set
    incoming = network.weights_input_to_hidden[:, node]
    outgoing = network.weights_hidden_to_output[node]
    if outgoing.max() < -outgoing.min():
        incoming, outgoing = -incoming, -outgoing
    order, half = np.argsort(-outgoing).tolist(), outgoing.max() / 2
    pro = [digit for digit in order if outgoing[digit] > half]
    con = [digit for digit in order[::-1] if outgoing[digit] < -half]
    candidates = np.flatnonzero(labels[:, pro[0]])
    best = int(candidates[(images[candidates] @ incoming).argmax()])
    # Scaled by the largest weight, the picture would be black nearly everywhere.
    weights = (incoming / np.percentile(np.abs(incoming), 98)).clip(-1, 1)
    return (weights + 1) / 2, pro, con, best


# Colors of the 256-color palette, and characters, for pixels from 0 to 1
GRAYS = range(232, 256), " .:-=+*#%@"
BLUES, ORANGES = (39, 33, 27, 26, 25, 24, 18), (94, 130, 136, 172, 208, 214, 220)
SIGNED = (*BLUES, *5 * [16], *ORANGES), "- +"  # for weights: 16, black, is in the middle


def picture_lines(picture: Array, colors: Sequence[int], characters: str) -> list[str]:
    """Return lines in which each character shows a pixel and the one below it, or their mean."""
    pairs = picture.reshape(14, 2, 28).swapaxes(1, 2)  # (line, column, upper or lower pixel)
    if has_colors():
        # ▀ shows the foreground color above the background color.
        codes = np.array(colors)[np.rint(pairs * (len(colors) - 1)).astype(int)]
        return ["".join(f"\x1b[38;5;{u};48;5;{v}m▀" for u, v in row) + "\x1b[0m" for row in codes]
    levels = np.rint(pairs.mean(axis=2) * (len(characters) - 1)).astype(int)
    return ["".join(characters[level] for level in row) for row in levels]


def print_beside(left: list[str], right: list[str]) -> None:
    """Print two columns of lines."""
    for left_line, right_line in zip(left, right, strict=True):
        print(f"{left_line}   {right_line}".rstrip())


def paint(text: str, color: int | None) -> str:
    """Return text in a color, or unchanged if `color` is None or stdout has no colors."""
    return f"\x1b[38;5;{color}m{text}\x1b[0m" if color and has_colors() else text


def has_colors() -> bool:
    """Return whether stdout is a UTF-8 terminal with 256 colors and NO_COLOR is not set."""
    env = os.environ
    has_256 = "256color" in env.get("TERM", "") or "COLORTERM" in env or "WT_SESSION" in env
    is_wanted = not env.get("NO_COLOR") and is_terminal(sys.stdout)
    return has_256 and is_wanted and sys.stdout.encoding.lower() in ("utf-8", "utf8")


# The drawing window


def draw_digit(network: Network) -> None:
    """Let the user draw a digit in a window, and print it as the network saw it."""
    try:
        import tkinter  # here, because only drawing needs it and some systems lack it

        window = tkinter.Tk()
    except Exception as error:  # no tkinter, or no display
        print(f"Drawing needs a graphical desktop and tkinter (apt install python3-tk): {error}.")
        return
    print("Draw in the window, and close it to return to the prompt.", flush=True)
    drawing = DrawingWindow(window, network)
    window.mainloop()
    window.after_cancel(drawing.timer)
    window.destroy()
    if drawing.picture.any():
        print("Your digit, as the network sees it:")
        show_prediction(as_mnist(drawing.picture), network)


class DrawingWindow:
    """The window for drawing: a square to draw in, and beside it the network's answer."""

    PEN_RADIUS = 11  # in pixels; a large digit is then about as bold as in MNIST
    ORANGE = "#ffaf00"  # the color ORANGE of the terminal

    def __init__(self, window: tkinter.Tk, network: Network) -> None:
        import tkinter

        self.network, self.window = network, window
        self.picture: Array = np.zeros((280, 280))
        self.drawn = tkinter.PhotoImage(master=window)  # the picture
        self.seen = tkinter.PhotoImage(master=window)  # what the network sees of it
        self.canvas = tkinter.Canvas(window, width=680, height=280, bg="#222", highlightthickness=0)
        self.canvas.grid(columnspan=2)
        self.canvas.bind("<Button-1>", self.begin_stroke)
        self.canvas.bind("<B1-Motion>", self.continue_stroke)
        clear = tkinter.Button(window, text="Clear (C or right-click)", command=self.clear)
        close = tkinter.Button(window, text="Close (Escape)", command=window.quit)
        for column, button in enumerate((clear, close)):
            button.configure(font=("", -14))
            button.grid(row=1, column=column, sticky="ew")
        window.grid_columnconfigure((0, 1), uniform="buttons")
        for event in ("c", "C", "<Button-2>", "<Button-3>"):  # right-click: 2 on a Mac, 3 elsewhere
            window.bind(event, self.clear)
        window.bind("<Escape>", lambda _: window.quit())
        window.title("Draw a digit")
        window.resizable(False, False)
        window.protocol("WM_DELETE_WINDOW", window.quit)
        window.report_callback_exception = self.reraise
        self.stay_awake()
        self.show()

    def begin_stroke(self, event: tkinter.Event[tkinter.Canvas]) -> None:
        """Begin a stroke at the pointer."""
        self.pen = event.x, event.y  # its last position
        self.continue_stroke(event)

    def continue_stroke(self, event: tkinter.Event[tkinter.Canvas]) -> None:
        """Draw a line from the last position of the pen to the pointer."""
        start, self.pen = self.pen, (event.x, event.y)
        draw_line(self.picture, start, self.pen, self.PEN_RADIUS)
        self.show()

    def clear(self, _event: object = None) -> None:
        """Erase the digit."""
        self.picture[:] = 0
        self.show()

    def show(self) -> None:
        """Show the picture, what the network sees of it, its ten outputs, and its prediction."""
        self.canvas.delete("all")
        self.drawn.configure(data=pgm(self.picture))
        self.canvas.create_image(0, 0, image=self.drawn, anchor="nw")
        if not self.picture.any():
            self.write(140, 140, "Draw a large digit", size=20)
            return
        image = as_mnist(self.picture)
        _, outputs = forward_propagation(image, *self.network)
        prediction = int(outputs.argmax())
        self.write(356, 16, "The network sees")
        self.seen.configure(data=pgm(image.reshape(28, 28).repeat(4, axis=0).repeat(4, axis=1)))
        self.canvas.create_image(300, 32, image=self.seen, anchor="nw")
        self.write(356, 202, str(prediction), size=96, color=self.ORANGE)
        self.write(356, 264, "unsure" if outputs.max() < 0.5 else "")
        for digit, output in enumerate(outputs.tolist()):
            y = 28 * digit + 14
            color = self.ORANGE if digit == prediction else "gray60"
            self.write(450, y, str(digit))
            bar = 465, y - 10, 465 + 160 * output, y + 10
            self.canvas.create_rectangle(bar, fill=color, width=0)
            self.write(652, y, f"{output:.2f}")

    def write(self, x: int, y: int, text: str, *, size: int = 14, color: str = "gray80") -> None:
        """Write text centered on a point. In tkinter, negative sizes are in pixels."""
        self.canvas.create_text(x, y, text=text, fill=color, font=("", -size))

    def stay_awake(self) -> None:
        """Wake Python ten times a second: while tkinter waits, Python does not notice Ctrl-C."""
        self.timer = self.window.after(100, self.stay_awake)

    def reraise(self, _kind: object, error: BaseException, _traceback: object) -> None:
        """Raise a callback's exception again so that it ends `mainloop`, not just the callback."""
        raise error


def pgm(picture: Array) -> bytes:
    """Return a picture of pixels from 0 to 1 as a file in the PGM format, which tkinter reads."""
    height, width = picture.shape
    return b"P5 %d %d 255 " % (width, height) + np.rint(255 * picture).astype(np.uint8).tobytes()


def draw_line(picture: Array, start: tuple[int, int], end: tuple[int, int], radius: int) -> None:
    """Set the pixels within `radius` of a line to 1."""
    (x, y), right, down = start, end[0] - start[0], end[1] - start[1]
    rows, columns = np.indices(picture.shape)
    # For each pixel, how far along the line its nearest point lies, from 0 (start) to 1 (end).
    along = (((columns - x) * right + (rows - y) * down) / max(1, right**2 + down**2)).clip(0, 1)
    picture[np.hypot(columns - x - along * right, rows - y - along * down) <= radius] = 1


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        print(file=sys.stderr)  # ends an unfinished line
        sys.exit(130)
    except (DataError, OSError) as error:
        sys.exit(str(error))
