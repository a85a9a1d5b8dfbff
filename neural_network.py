"""A neural network, written from scratch in NumPy, that learns to read handwritten digits.

An image has 28 x 28 = 784 pixels. They are the inputs of 300 hidden nodes, whose results are the
inputs of ten output nodes, one for each digit. The highest of the ten outputs is the answer.

The file can be read from top to bottom, once: first how a network answers (`forward_propagation`),
then how far off an answer is (`compute_error`), how one step makes the network better
(`backpropagation`), and how many such steps are a training (`train`). The program that trains a
network and lets people ask it comes last.
"""

import argparse
import contextlib
import itertools
import os
import re
import sys
import time
from collections.abc import Callable
from typing import NamedTuple

if __name__ == "__main__":
    # NumPy would share its matrix products among all cores of the processor. These products are so
    # small that a second core hardly helps, and on a busy machine the cores wait for each other.
    # So the program asks for one core, before the next line, in which NumPy reads the variables.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("VECLIB_MAXIMUM_THREADS", "1")  # on a Mac

import numpy as np
from numpy.typing import NDArray

from import_data import DataError, get_data

# More hidden nodes read a little better, but take longer to train. LeCun, Bottou, Bengio and
# Haffner had a network of 300 as well (Gradient-based learning applied to document recognition,
# 1998).
HIDDEN_NODES = 300

# An epoch is one pass through the training set. More epochs read a little better, but take longer.
EPOCHS = 10

# A batch is the group of images that one step learns from. The more images share a step, the more
# reliable is its direction, but the fewer steps there are in an epoch.
BATCH_SIZE = 64

# How far the weights move in a step of the first epoch; later steps are shorter (see `train`). With
# a much smaller learning rate a network learns slowly. With a much larger one its steps overshoot,
# and the error grows.
LEARNING_RATE = 1.2

# The tolerance is a distance between an output and what it should be, 0 or 1. An image counts as
# learned when all ten outputs are nearer than TOLERANCE / epoch, which is 0.25 in epoch 2 and 0.05
# in epoch 10. It must be less than 1, or else the first epoch would leave images out.
TOLERANCE = 0.5

# Where all biases begin. sigmoid(-2) is 0.12: a node is nearly off until its inputs turn it on.
FIRST_BIAS = -2

# An image is its 28 rows one after the other, so that 28 numbers are a row. The network learns from
# a window of the image: rows 3 to 24 of 0 to 27. The others hold less than 1 % of all ink. The
# window moves by the shifts below, and must stay inside the 784 pixels with each of them.
WINDOW_START, WINDOW_END = 3 * 28, 25 * 28
SHIFTS = (0, -1, 1, -28, 28)  # it stays, or moves by a pixel to the left, to the right, up or down

# The mean of all pixels of the training set, and their standard deviation: how far from the mean
# they typically lie.
PIXEL_MEAN, PIXEL_STD = 0.1307, 0.3081

Array = NDArray[np.floating]


class Network(NamedTuple):
    """The weights and biases: all that a network learns. H is the number of hidden nodes."""

    weights_input_to_hidden: Array  # (784, H): a row for each pixel, a column for each hidden node
    weights_hidden_to_output: Array  # (H, 10): a row for each hidden node, a column for each digit
    biases_hidden: Array  # (H,)
    biases_output: Array  # (10,)


def initialize_weights_and_biases(
    *, hidden_nodes: int = HIDDEN_NODES, seed: int | np.random.Generator | None = None
) -> Network:
    """Return random weights and equal biases: a network that has not learned anything yet.

    The weights must differ at random: nodes with equal weights would stay equal for ever, as each
    step would change them equally. They have a mean of 0 and a standard deviation of
    1 / sqrt(number of inputs), so that a sum of 784 inputs is about as large as one of 300 (LeCun
    et al., Efficient BackProp, 1998).

    All biases are -2, so that at first all nodes are nearly off. For the outputs that is about
    right, as one in ten should be on. With hidden nodes that are nearly off, a long step changes
    the outputs less, so that the learning rate may be larger.

    Parameters
    ----------
    hidden_nodes : int
        The number H of hidden nodes.
    seed : int, numpy.random.Generator or None
        The same seed gives the same weights; None gives other weights each time.

    Returns
    -------
    Network
        A named tuple of float32 arrays of the shapes (784, H), (H, 10), (H,) and (10,).
    """
    rng = np.random.default_rng(seed)
    return Network(
        rng.standard_normal((784, hidden_nodes), np.float32) / np.float32(np.sqrt(784)),
        rng.standard_normal((hidden_nodes, 10), np.float32) / np.float32(np.sqrt(hidden_nodes)),
        np.full(hidden_nodes, FIRST_BIAS, np.float32),
        np.full(10, FIRST_BIAS, np.float32),
    )


def sigmoid(x: Array) -> Array:
    """Return 1 / (1 + exp(-x)) for each element of a floating-point array, in its own dtype.

    It squashes any number into the range from 0 to 1: sigmoid(-4) is 0.02, sigmoid(0) is 0.5 and
    sigmoid(4) is 0.98. Such a bend between two layers is called an activation function. Without it
    the second layer would be of no use, as a weighted sum of weighted sums is a weighted sum again.
    """
    # For x below -88, exp(-x) is too large for float32 and becomes infinite (float64: below -709).
    # NumPy would warn of that, but the result is right all the same: 1 / infinity is 0.
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
    """Return the outputs of both layers of nodes for one image, or for a batch of N images.

    A node multiplies each of its inputs by a weight, adds up the products and its bias, and passes
    this weighted sum on through the sigmoid. The matrix product `@` computes the weighted sums of
    all nodes, for all images of a batch, at once.

    Parameters
    ----------
    img : floating-point array of shape (784,) or (N, 784)
        The pixels, from 0 (background) to 1 (ink).
    weights_input_to_hidden, weights_hidden_to_output, biases_hidden, biases_output
        As `initialize_weights_and_biases` or `train` returns them.

    Returns
    -------
    hidden_layer_output : array of shape (H,) or (N, H)
    output_layer_output : array of shape (10,) or (N, 10)
        A score from 0 to 1 for each digit.
    """
    # (N, 784) @ (784, H) gives (N, H): for each image a row, with a weighted sum for each node.
    hidden_layer_output = sigmoid(img @ weights_input_to_hidden + biases_hidden)
    # (N, H) @ (H, 10) gives (N, 10): for each image a row, with a weighted sum for each digit.
    output_layer_output = sigmoid(hidden_layer_output @ weights_hidden_to_output + biases_output)
    return hidden_layer_output, output_layer_output


def predict(
    img: Array,
    weights_input_to_hidden: Array,
    weights_hidden_to_output: Array,
    biases_hidden: Array,
    biases_output: Array,
) -> int | NDArray[np.intp]:
    """Return the digit with the highest output, as an int; for a batch, an array of N integers.

    The parameters are those of `forward_propagation`.
    """
    _, output_layer_output = forward_propagation(
        img, weights_input_to_hidden, weights_hidden_to_output, biases_hidden, biases_output
    )
    digits = output_layer_output.argmax(axis=-1)
    return int(digits) if digits.ndim == 0 else digits


def compute_error(output: Array, label: Array) -> float:
    """Return the mean squared error of outputs of shape (10,) or (N, 10): how far off they are.

    The label says what the ten outputs should be: 1 for the right digit, 0 for the others. This
    error is for people to watch, as it is easily read: an error of 0.01 means that outputs are off
    by 0.1, typically. The network learns from another one, for the reason that `backpropagation`
    gives.

    Raises
    ------
    ValueError
        If the shapes differ.
    """
    if output.shape != label.shape:
        raise ValueError(
            f"output and label must have the same shape, not {output.shape} and {label.shape}"
        )
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
    learning_rate: float = LEARNING_RATE,
) -> None:
    """Take one gradient step: change the weights and biases in place, to make the error smaller.

    The names, for one image: x is an input of a node, w the weight of that input, b the bias of the
    node, and z its weighted sum, x1 * w1 + x2 * w2 + ... + b. The output sigmoid(z) is called h for
    a hidden node and o for one of the ten output nodes. y is the label of the output: what o should
    be, 1 or 0.

    The error E of an image is the cross-entropy, a sum over the ten outputs:

        E = sum of  -y * log(o) - (1 - y) * log(1 - o)

    As y is 1 or 0, one of the two terms vanishes: an output that should be 1 costs -log(o), one
    that should be 0 costs -log(1 - o). Where 1 is right, an output of 0.9 costs 0.1, but one of
    0.01 costs 4.6: to be sure of something wrong is expensive.

    The derivative dE/dw says how fast E grows when w grows. A step subtracts learning_rate * dE/dw
    from each weight, and likewise for the biases: uphill for E is where the derivatives point, and
    the step goes the other way. All these derivatives together are called the gradient.

    How are they found? w affects z, and z affects E. The chain rule says that derivatives along
    such a chain are multiplied: dE/dw = dE/dz * dz/dw. The first factor is the same for all weights
    of a node. It is called the delta of the node, and it is computed first.

    1. The outputs. z affects E through o:

        dE/do = -y / o + (1 - y) / (1 - o) = (o - y) / (o * (1 - o))
        do/dz = exp(-z) / (1 + exp(-z))**2 = o * (1 - o)        the slope of the sigmoid
        delta_output = dE/dz = dE/do * do/dz = o - y

       The slope has cancelled out, which is why E is the cross-entropy. With the squared error it
       would stay, and it is nearly 0 for an output that is badly wrong: 0.01 instead of 1 has the
       slope 0.01 * 0.99. Such an output would hardly learn, though it has the most to learn.

    2. The hidden nodes. h is an input of all ten outputs, so that it affects E in ten ways, each
       with a weight of its own. These add up; then comes the slope again, as z affects h:

        dE/dh = sum over the ten outputs of  delta_output * w
        delta_hidden = dE/dz = dE/dh * dh/dz = dE/dh * h * (1 - h)

       The deltas of the outputs have gone back through the weights, which gives the method its name
       (Rumelhart, Hinton and Williams, Learning representations by back-propagating errors, 1986).

    3. The weights and biases. In z, w is multiplied by its input x, and b stands alone:

        dE/dw = delta * x
        dE/db = delta

    The error of a batch is the mean of the errors of its N images. So each derivative is a mean,
    too: what the images contribute is added up and divided by N.

    Parameters
    ----------
    img, hidden_layer_output, output_layer_output
        What `forward_propagation` was given, and what it returned.
    label : array of the shape of `output_layer_output`
        What the outputs should be.
    weights_hidden_to_output, biases_output, biases_hidden, weights_input_to_hidden
        The arrays to change.
    learning_rate : float
        The factor of the gradient in the step.

    Raises
    ------
    ValueError
        If the shapes of `output_layer_output` and `label` differ.
    """
    if output_layer_output.shape != label.shape:
        raise ValueError(
            "output_layer_output and label must have the same shape, "
            f"not {output_layer_output.shape} and {label.shape}"
        )
    # One image becomes a batch of one image, (1, 784), so that from here on there are only batches.
    img, label, hidden_layer_output, output_layer_output = np.atleast_2d(
        img, label, hidden_layer_output, output_layer_output
    )

    # delta_output = o - y, a row for each image: (N, 10)
    delta_output = output_layer_output - label

    # dE/dh = sum over the ten outputs of delta_output * w. The weights lead from H nodes to 10. To
    # lead back, their rows and columns are swapped by `.T`: (N, 10) @ (10, H) gives (N, H). They
    # must be the weights that gave these outputs, so that no weight changes before this line.
    slope = hidden_layer_output * (1 - hidden_layer_output)
    delta_hidden = delta_output @ weights_hidden_to_output.T * slope

    # dE/dw = delta * x, added up over the images. For two images of three pixels, [a b c] and
    # [d e f], and one hidden node, whose delta is p for the first image and q for the second:
    #
    #                         [a d]         [a*p + d*q]     the first pixel of both images
    #     img.T @ delta   =   [b e] @ [p] = [b*p + e*q]     the second
    #                         [c f]   [q]   [c*p + f*q]     the third
    #
    # Without `.T` a row of img would be the pixels of one image, and the sum one over pixels.
    # In full, (784, N) @ (N, H) gives (784, H): a derivative for each weight. It costs less to
    # multiply the deltas by the step than the product, which is larger.
    #
    # `w -= ...` changes the array that the caller has passed in. `w = w - ...` would make a new
    # one, and the caller's would stay as it was.
    step = float(learning_rate) / len(img)  # the sum over N images, divided by N, is their mean
    weights_hidden_to_output -= hidden_layer_output.T @ (step * delta_output)
    biases_output -= step * delta_output.sum(axis=0)
    weights_input_to_hidden -= img.T @ (step * delta_hidden)
    biases_hidden -= step * delta_hidden.sum(axis=0)


def train(
    images: Array,
    labels: Array,
    *,
    epochs: int = EPOCHS,
    hidden_nodes: int = HIDDEN_NODES,
    learning_rate: float = LEARNING_RATE,
    seed: int | np.random.Generator | None = None,
    report: Callable[..., object] | None = None,
) -> Network:
    """Return the weights and biases of a network that has learned to read the images.

    In each epoch the images are taken in a new random order, a batch at a time. Each batch is a
    step: the outputs are computed, and backpropagation changes the weights a little. This is called
    stochastic gradient descent. Six ideas make it quick and good:

    1. A batch is one step. 64 images at once take far less time than 64 times one image, and the
       mean of their gradients is a better direction than the gradient of a single image.

    2. The learning rate falls from epoch to epoch, in equal parts, to a twentieth in the last one.
       Long steps come far at first, but then they jump to and fro around the goal. Short ones let
       the weights settle.

    3. All biases begin at -2, as `initialize_weights_and_biases` explains.

    4. The pixels are standardized: their mean is subtracted, and the result is divided by their
       standard deviation. Pixels from 0 to 1 are never negative, so that one image can only make
       all weights of a hidden node grow, or make all of them shrink (dE/dw = delta * x). Pixels on
       both sides of 0 let some grow while others shrink.

    5. The network looks at a window of the image, which moves. For each batch the window stays in
       the middle or moves by a pixel, at random, so that the digits in it seem to move the other
       way. A digit that has moved is still the same digit, and the network learns that it does not
       matter exactly where a stroke is (Simard, Steinkraus and Platt, Best practices for
       convolutional neural networks applied to visual document analysis, 2003). What the window
       leaves out, so that it can move, are rows at the top and the bottom with hardly any ink. That
       saves a fifth of the time, too.

    6. What is learned is left out. `outputs` keeps what the network answered to each image when it
       last had it in a batch. If all ten outputs were then nearer to the label than a tolerance,
       the image is left out of the epoch. Its deltas, which begin as output - label, are so small
       that it would change little, and the time is better spent on the others. The tolerance
       shrinks from epoch to epoch, so that images come back that were learned, but not well enough.
       All this is fair: it only decides how often the network looks at which training image. The
       images of the test set, which tell how good it is, are not among them. (LeCun et al.,
       Efficient BackProp, 1998, call this an emphasizing scheme.)

    Parameters
    ----------
    images : array of shape (N, 784)
        Pixels from 0 (background) to 1 (ink). Computed with in float32, whatever their dtype.
    labels : array of shape (N, 10)
        One-hot: in each row a 1 in the column of the digit, and 0 elsewhere.
    epochs, hidden_nodes : int
    learning_rate : float
        That of the first epoch.
    seed : int, numpy.random.Generator or None
        With the same seed, machine and number of threads the result is the same, bit for bit.
    report : callable, optional
        Is called after each step with five arguments: the epoch (from 1), the number of epochs, how
        many images of this epoch are done, how many it has, and `outputs`, of shape (N, 10). They
        are from the last time that an image was in a batch: of the image moved as it was then, by
        the network as it was before that step. So an error or an accuracy that is computed from
        them lags behind the network as it is now.

    Returns
    -------
    Network
        For whole images with pixels from 0 to 1: `predict(img, *train(images, labels))`.

    Raises
    ------
    ValueError
        If `images` or `labels` are not as described; the message says what they must be.
    """
    images = np.asarray(images, np.float32)
    labels = np.asarray(labels, np.float32)
    check_training_set(images, labels)
    rng = np.random.default_rng(seed)

    # While it is trained, the network has only the weights of the pixels in the window.
    network = initialize_weights_and_biases(hidden_nodes=hidden_nodes, seed=rng)
    window_weights = network.weights_input_to_hidden[WINDOW_START:WINDOW_END]
    network = network._replace(weights_input_to_hidden=window_weights)

    # At first each output counts as 0. The one that should be 1 is then off by 1, which is more
    # than the tolerance, so that the first epoch takes all images.
    outputs = np.zeros_like(labels)

    rates = np.linspace(learning_rate, learning_rate / 20, epochs)  # falling in equal parts
    for epoch, rate in enumerate(rates, start=1):
        learned = np.abs(outputs - labels).max(axis=1) < TOLERANCE / epoch
        order = rng.permutation(np.flatnonzero(~learned))  # numbers of images
        for start in range(0, len(order), BATCH_SIZE):
            batch = order[start : start + BATCH_SIZE]
            # The window, which moves. At the left or right edge of a row it then has a pixel of the
            # row before or after, but that is nearly always as blank as the one it replaces.
            shift = rng.choice(SHIFTS)
            img = images[batch, WINDOW_START + shift : WINDOW_END + shift]
            img = (img - PIXEL_MEAN) / PIXEL_STD  # standardized
            hidden, output = forward_propagation(img, *network)
            backpropagation(
                img, labels[batch], hidden, output, **network._asdict(), learning_rate=rate
            )
            outputs[batch] = output
            if report:
                report(epoch, epochs, start + len(batch), len(order), outputs)

    # The network has learned from standardized pixels of a window, but is to be asked with whole
    # images from 0 to 1. So the standardization becomes part of its weights and biases:
    #     w * (x - mean) / std  =  (w / std) * x  -  mean * (w / std)
    # The first term is a weight of w / std, and the second, which has no x, belongs to the bias.
    # Pixels outside the window get weights of 0.
    weights = np.zeros((784, hidden_nodes), np.float32)
    weights[WINDOW_START:WINDOW_END] = network.weights_input_to_hidden / PIXEL_STD
    biases = network.biases_hidden - PIXEL_MEAN * weights.sum(axis=0)
    return network._replace(weights_input_to_hidden=weights, biases_hidden=biases)


def check_training_set(images: Array, labels: Array) -> None:
    """Raise a `ValueError` that says what is wrong if these are not what `train` takes."""
    if images.ndim != 2 or images.shape[1] != 784 or len(images) == 0:
        raise ValueError(f"images must have shape (N, 784), N > 0, not {images.shape}")
    smallest, largest = images.min(), images.max()  # both are NaN if any pixel is
    if not (smallest >= 0 and largest <= 1):
        hint = "; divide them by 255?" if largest > 1 else ""
        raise ValueError(
            f"pixels must be from 0 to 1, and none NaN; they are from {smallest:g} to {largest:g}"
            f"{hint}"
        )
    if labels.shape != (len(images), 10):
        raise ValueError(f"labels must have shape ({len(images)}, 10), not {labels.shape}")
    if not np.array_equal(labels, np.eye(10)[labels.argmax(axis=1)]):
        raise ValueError("labels must be one-hot: a single 1 in each row, and 0 elsewhere")


# From here on: the program.

ImageSet = tuple[Array, Array]  # images and their labels

HELP = """\
  42     training image 42, which the network has learned from
  t 42   test image 42, which it has never seen
  w      a test image that it gets wrong, another one each time
  ?      this list
  q      quits
The output of a digit is a score from 0 to 1, not a probability."""
SURE = 0.9  # below this output the second choice is shown, too


def parse_arguments() -> argparse.Namespace:
    """Return the settings that the command line gives."""
    parser = argparse.ArgumentParser(
        description="Train a neural network to read handwritten digits, and ask it.",
        epilog="MNIST is kept in data/, or in the folder that the environment variable MNIST_DIR "
        "names. It comes from public mirrors, or from the URL that MNIST_MIRROR names.",
    )
    default = "(default: %(default)s)"
    parser.add_argument("--epochs", type=int, default=EPOCHS, help=f"passes {default}")
    parser.add_argument("--hidden-nodes", type=int, default=HIDDEN_NODES, help=default)
    parser.add_argument("--seed", type=int, default=0, help=f"of the random generator {default}")
    settings = parser.parse_args()
    if min(settings.epochs, settings.hidden_nodes, settings.seed) < 0:
        parser.error("--epochs, --hidden-nodes and --seed must be at least 0")
    return settings


def training_display(labels: Array) -> Callable[..., None]:
    """Return a `report` for `train` that prints a line for each epoch, in a terminal as it runs."""
    live = sys.stdout.isatty() and os.environ.get("TERM") != "dumb"
    started = time.monotonic()

    def report(epoch: int, epochs: int, done: int, count: int, outputs: Array) -> None:
        line = "\r" * live + f"Epoch {epoch:{len(str(epochs))}}/{epochs}"
        if done == count:
            error = compute_error(outputs, labels)
            accuracy = (outputs.argmax(axis=1) == labels.argmax(axis=1)).mean()
            line += f"  error {error:.4f}  accuracy {accuracy:6.2%}"
            print(f"{line}  {time.monotonic() - started:.1f} s  {count:6,} to learn", flush=True)
        elif live and done // BATCH_SIZE % 10 == 0:
            print(f"{line}  {done / count:4.0%}", end="", flush=True)

    return report


def draw(image: Array) -> str:
    """Return an image as 14 lines of 28 characters, each for a pixel and the one below it."""
    upper, lower = image.reshape(14, 2, 28).swapaxes(0, 1)
    has_blocks = sys.stdout.encoding.lower() == "utf-8"
    terminal = os.environ.get("TERM", "") if sys.stdout.isatty() else "dumb"
    has_colours = "256color" in terminal or (os.environ.get("COLORTERM") and terminal != "dumb")
    if has_blocks and has_colours and not os.environ.get("NO_COLOR"):
        # Of the 256 colours 232 to 255 are greys: the foreground is the upper pixel.
        greys = np.rint(232 + 23 * np.stack([upper, lower], axis=-1)).astype(int)
        lines = ["".join(f"\x1b[38;5;{u};48;5;{v}m▀" for u, v in row) + "\x1b[0m" for row in greys]
    else:
        shades = " ░▒▓█" if has_blocks else " .:-=+*#%@"
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
    print(draw(image), answer, sep="\n")


def ask(train_set: ImageSet, test_set: ImageSet, mistakes: list[int], network: Network) -> None:
    """Answer what is typed at the prompt, until `q` or the end of input."""
    last, last_test = len(train_set[0]) - 1, len(test_set[0]) - 1
    next_mistake = itertools.cycle(enumerate(mistakes, start=1))
    while True:
        try:
            line = input(f"Enter an index (0 - {last}), or 'q' to quit: ").strip().lower()
        except EOFError:
            print()
            return
        if not sys.stdin.isatty():
            print()  # where a person would have pressed Enter
        if line in ("q", "quit", "exit"):
            return
        if line == "w" and mistakes:
            count, mistake = next(next_mistake)
            print(f"Mistake {count} of {len(mistakes)}, test image {mistake}:")
            line = f"t {mistake}"
        match = re.fullmatch("(t?) *([0-9]{1,9})", line)
        images, labels = test_set if match and match[1] else train_set
        if line == "?":
            print(HELP)
        elif match and int(match[2]) < len(images):
            show(images[int(match[2])], labels[int(match[2])], network)
        else:
            print(f"Please enter 0 - {last}, t 0 - t {last_test}, w, q, or ? for what these do.")


def run() -> None:
    """Train a network, test it, and let people ask it."""
    settings = parse_arguments()
    images, labels = get_data("train")
    test_images, test_labels = get_data("test")
    print(f"Training 784-{settings.hidden_nodes}-10 on {len(images):,} images:", flush=True)
    network = train(images, labels, report=training_display(labels), **vars(settings))
    # A tenth at a time, because activations take memory.
    digits = np.concatenate([predict(part, *network) for part in np.array_split(test_images, 10)])
    mistakes = np.flatnonzero(digits != test_labels.argmax(axis=1))
    print(f"Test accuracy: {1 - len(mistakes) / len(test_images):.2%}")
    print(f"It misreads {len(mistakes):,} test images: w shows them, ? what else you can enter.")
    if len(images) < 60_000:
        print("The bundled sample: for all 60,000 images, go online (see README.md, The data).")
    ask((images, labels), (test_images, test_labels), mistakes.tolist(), network)


def main() -> int:
    """Run the program and return its exit status; a fault is one line on stderr."""
    try:
        sys.stdin.reconfigure(errors="replace")  # type: ignore[union-attr]
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
    return 1


if __name__ == "__main__":
    sys.exit(main())
