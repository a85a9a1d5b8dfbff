"""A neural network, written from scratch in NumPy, that learns to read handwritten digits.

A network is made of nodes. A node multiplies each of its inputs by a number of its own, a weight.
It adds up the products and one more number, its bias, and squashes the sum into the range from 0 to
1: that is its output. Here the 784 pixels of an image (28 rows of 28) are the inputs of 300 nodes,
which are called hidden because they are neither the input nor the answer. Their outputs are the
inputs of ten output nodes, one for each digit. The highest of the ten outputs is the answer.

To learn is to find good weights and biases. The weights begin at random. Then the network is shown
images whose digits are known, the training set. In each step all weights and biases change a
little, so that the ten outputs come nearer to the label, which says what they should be: 1 for the
right digit and 0 for the others. How well the network reads is measured with other images, the test
set.

The file can be read from top to bottom: how a network answers (`forward_propagation`), how far off
an answer is, for people to watch (`compute_error`), how a step makes it better (`backpropagation`),
how many such steps train a network (`train`), and last the program that trains one and lets people
try it out.
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
    # A technical matter: NumPy shares each matrix product among the cores of the processor. On an
    # idle machine a second core helps a little. On a busy one the cores wait for each other, which
    # costs far more. So the program asks for one. NumPy reads these variables when it is imported.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("VECLIB_MAXIMUM_THREADS", "1")  # on a Mac

import numpy as np
from numpy.typing import NDArray

from import_data import SAMPLE_FOLDER, DataError, DownloadError, as_mnist, get_data, is_terminal

# With more hidden nodes a network reads a little better, but takes longer to train. LeCun, Bottou,
# Bengio and Haffner had 300 as well (Gradient-based learning applied to document recognition,
# 1998).
HIDDEN_NODES = 300

# A batch is the group of images that one step learns from. The more images share a step, the more
# reliable is its direction, but the fewer steps can be made in the same time.
BATCH_SIZE = 64

# An epoch is one pass through the training set; from the second one on, without the images that
# are already learned (see `train`). With more epochs the network reads a little better.
EPOCHS = 10

# How much a step changes the weights, in the first epoch: the factor by which it multiplies the
# gradient (see `backpropagation`). With a much smaller learning rate a network learns slowly. With
# a much larger one its steps go too far, and it ends worse.
LEARNING_RATE = 1.2

Array = NDArray[np.floating]


class Network(NamedTuple):
    """The weights and biases: all that a network learns. H is the number of hidden nodes."""

    # (784, H): a row for each pixel, a column for each hidden node. While `train` works, there are
    # only 616 rows, as it uses a part of each image.
    weights_input_to_hidden: Array
    weights_hidden_to_output: Array  # (H, 10): a row for each hidden node, a column for each digit
    biases_hidden: Array  # (H,)
    biases_output: Array  # (10,)


# Where all biases begin. A node whose inputs are all 0 then has the output sigmoid(-2) = 0.12.
FIRST_BIAS = -2


def initialize_weights_and_biases(
    *, hidden_nodes: int = HIDDEN_NODES, seed: int | np.random.Generator | None = None
) -> Network:
    """Return random weights and equal biases: a network that has not learned anything yet.

    The weights are random because two hidden nodes with the same weights, both incoming and
    outgoing, would be changed in the same way by every step, and so remain equal for ever. The mean
    of the weights is 0. Their standard deviation, the root of the mean of (weight - mean)**2, is
    1 / sqrt(number of inputs). Random terms partly cancel each other, so that a sum of n of them is
    only about sqrt(n) times as large as one of them. With weights that are divided by that, the
    weighted sums do not grow with the number of inputs (LeCun, Bottou, Orr and Mueller, Efficient
    BackProp, 1998).

    All biases are -2, so that all nodes begin nearly off. That matters for the hidden nodes: as
    they pass little on at first, a step changes the outputs less, so that the learning rate can be
    larger. With biases of 0 the best rate is about half as large, and the network reads fewer
    digits right. For the outputs -2 is about right, too, as only one in ten should be on.

    Parameters
    ----------
    hidden_nodes : int
        The number H of hidden nodes.
    seed : int, numpy.random.Generator or None
        The same int gives the same weights; None gives other weights each time.

    Returns
    -------
    Network
        A named tuple of float32 arrays of the shapes (784, H), (H, 10), (H,) and (10,).
    """
    rng = np.random.default_rng(seed)
    return Network(
        rng.standard_normal((784, hidden_nodes), np.float32) / math.sqrt(784),
        rng.standard_normal((hidden_nodes, 10), np.float32) / math.sqrt(hidden_nodes),
        np.full(hidden_nodes, FIRST_BIAS, np.float32),
        np.full(10, FIRST_BIAS, np.float32),
    )


def sigmoid(x: Array) -> Array:
    """Return 1 / (1 + exp(-x)) for each element of a floating-point array, in its own dtype.

    It squashes any number into the range from 0 to 1: sigmoid(-4) is 0.02, sigmoid(0) is 0.5 and
    sigmoid(4) is 0.98. This is called an activation function. Without it between them, two layers
    could do no more than one, as a weighted sum of weighted sums is a weighted sum again. After the
    second layer it makes scores of the sums.
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
    """Return the outputs of both layers, hidden nodes and output nodes, for one image or a batch.

    Each node computes a weighted sum, input * weight + input * weight + ... + bias, and passes it
    on through the sigmoid. The matrix product `@` computes the sums of all nodes at once. A row of
    its first matrix is multiplied by each column of the second, number by number, and the products
    are added up.
    With two pixels x1 and x2, and two hidden nodes with the weights a1, a2 and b1, b2:

                  [a1 b1]
        [x1 x2] @ [a2 b2] = [x1*a1 + x2*a2   x1*b1 + x2*b2]

    A batch of N images has N rows on the left, and as many on the right.

    Parameters
    ----------
    img : floating-point array of shape (784,) or (N, 784)
        The pixels, from 0 (background) to 1 (ink). (While `train` works, it passes the 616 pixels
        of a part of each image, in another range, and weights to match.)
    weights_input_to_hidden, weights_hidden_to_output, biases_hidden, biases_output
        As `initialize_weights_and_biases` or `train` returns them.

    Returns
    -------
    hidden_layer_output : array of shape (H,) or (N, H)
    output_layer_output : array of shape (10,) or (N, 10)
        A score from 0 to 1 for each digit.
    """
    # (N, 784) @ (784, H) gives (N, H): a row for each image, with a sum for each hidden node. `+`
    # adds the biases, of shape (H,), to each row.
    hidden_layer_output = sigmoid(img @ weights_input_to_hidden + biases_hidden)
    # (N, H) @ (H, 10) gives (N, 10): a row for each image, with a sum for each digit.
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

    This error is for people to watch. It is 0 if all outputs are as the label says, and 0.1 if all
    ten are 0. In a trained network most of it comes from a few outputs that are far off. What the
    network learns from is another error, the cross-entropy, for a reason that `backpropagation`
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
    """Compute the gradient of the cross-entropy, and move all weights and biases against it.

    In other words: find out for each weight and bias whether the error grows with it, and change it
    the other way. This is a step of the training.

    The names, for one image: x is an input of a node, w the weight of that input, b the bias of the
    node, and z its weighted sum, x1 * w1 + x2 * w2 + ... + b. The output sigmoid(z) is called h for
    a hidden node and o for one of the ten output nodes. So x is a pixel for a hidden node, and an h
    for an output node. y is the number in the label that o should be: 1 or 0.

    The cross-entropy E is the error that the network learns from. It is a sum over the ten outputs,
    and log is the natural logarithm:

        E = sum of  -y * log(o) - (1 - y) * log(1 - o)

    As y is 1 or 0, one of the two terms vanishes: an output that should be 1 costs -log(o), one
    that should be 0 costs -log(1 - o). Where 1 is right, an output of 0.9 costs 0.1, but one of
    0.01 costs 4.6: being sure of something wrong is expensive.

    The derivative dE/dw says how fast E grows when w grows and all else stays. If it is positive, w
    should become smaller; if it is negative, larger. So a step subtracts learning_rate * dE/dw from
    each w, and learning_rate * dE/db from each b. All these derivatives together are called the
    gradient, and to take such steps is called gradient descent.

    How are they found? w affects z, and z affects E. The chain rule says that the derivatives along
    such a chain are multiplied: dE/dw = dE/dz * dz/dw. The factor dE/dz is the same for all weights
    of a node. It is called the delta of the node, and there is one for each image.

    1. The outputs. z affects o, and o affects one of the ten terms of E. The derivative of log(o)
       is 1 / o, and that of log(1 - o) is -1 / (1 - o). With a common denominator:

        dE/do = -y / o + (1 - y) / (1 - o)
              = (-y * (1 - o) + (1 - y) * o) / (o * (1 - o))
              = (o - y) / (o * (1 - o))

       As 1 - o = exp(-z) / (1 + exp(-z)), the derivative of o = 1 / (1 + exp(-z)) is

        do/dz = exp(-z) / (1 + exp(-z))**2 = o * (1 - o)

       And so, by the chain rule:

        delta_output = dE/dz = dE/do * do/dz = o - y

       do/dz is the slope of the sigmoid. It has cancelled out, and that is why E is the
       cross-entropy. With the squared error the slope would stay, and it is nearly 0 for an output
       that is badly wrong: 0.01 instead of 1 has the slope 0.01 * 0.99. Such an output would hardly
       learn, though it has the most to learn.

    2. The hidden nodes. h is an input of all ten outputs. If it grows by 0.01, the z of each output
       grows by 0.01 * w, and the ten effects on E add up. Then the slope comes again, as h is the
       sigmoid of another z, that of the hidden node:

        dE/dh = sum over the ten outputs of  delta_output * w
        delta_hidden = dE/dz = dE/dh * dh/dz = dE/dh * h * (1 - h)

       Here the slope stays. It does less harm, as a hidden node has no label that it could be
       badly wrong about.

       The deltas of the outputs have gone back through the weights, which gives the method its name
       (Rumelhart, Hinton and Williams, Learning representations by back-propagating errors, 1986).

    3. The weights and biases. In z, w is multiplied by its input x, so that dz/dw = x. The bias b
       stands alone, so that dz/db = 1:

        dE/dw = dE/dz * dz/dw = delta * x
        dE/db = dE/dz * dz/db = delta

    The cross-entropy of a batch is the mean of those of its N images. So each derivative is a mean,
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
        The factor by which the gradient is multiplied.

    Raises
    ------
    ValueError
        If the shapes of `output_layer_output` and `label` differ, as NumPy might subtract them all
        the same: a label of shape (10,) from each of N rows.
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

    # dE/dh = sum over the ten outputs of delta_output * w. The weights, of shape (H, 10), lead from
    # H nodes to 10. To lead back, their rows and columns are swapped by `.T`: (N, 10) @ (10, H)
    # gives (N, H). The derivatives are those of an E that was computed with the weights as they are
    # here. So both deltas are computed before any weight changes.
    derivative_hidden = delta_output @ weights_hidden_to_output.T
    # delta_hidden = dE/dh * h * (1 - h): (N, H)
    delta_hidden = derivative_hidden * hidden_layer_output * (1 - hidden_layer_output)

    # dE/dw = delta * x, added up over the images, is `img.T @ delta`. For two images of three
    # pixels, [a b c] and [d e f], and one hidden node, whose delta is p for the first image and q
    # for the second:
    #
    #                         [a d]         [a*p + d*q]     the first pixel of both images
    #     img.T @ delta   =   [b e] @ [p] = [b*p + e*q]     the second
    #                         [c f]   [q]   [c*p + f*q]     the third
    #
    # `@` multiplies along the rows of its first matrix. `.T` makes a row of each pixel, with its
    # values in all images, so that the sum is one over images. In full, (784, N) @ (N, H) gives
    # (784, H): a derivative for each weight.
    #
    # These sums have to be divided by N, to be means, and multiplied by the learning rate. It is
    # quicker to do that with the deltas, which are fewer numbers than the weights. A learning rate
    # that is a NumPy float64 would turn float32 deltas into float64; `float` makes it a number of
    # Python, which keeps their dtype.
    #
    # `w -= ...` changes the array that the caller has passed in. `w = w - ...` would make a new
    # one, and the caller's would stay as it was.
    rate_per_image = float(learning_rate) / len(img)
    weights_hidden_to_output -= hidden_layer_output.T @ (rate_per_image * delta_output)
    biases_output -= rate_per_image * delta_output.sum(axis=0)
    weights_input_to_hidden -= img.T @ (rate_per_image * delta_hidden)
    biases_hidden -= rate_per_image * delta_hidden.sum(axis=0)


# From the second epoch on, `train` leaves out images that are learned: those whose ten outputs were
# all nearer to the label than TOLERANCE / epoch, which is 0.25 in epoch 2 and 0.05 in epoch 10.
TOLERANCE = 0.5  # at most 1, so that no image counts as learned in the first epoch

# An image is its 28 rows one after the other, 28 numbers to a row. While it learns, the network
# sees a window of the image, rows 3 to 24 of 0 to 27. The other rows hold less than 1 % of all ink.
# The window moves by the shifts, and must stay inside the 784 pixels with each of them.
WINDOW_START, WINDOW_END = 3 * 28, 25 * 28
SHIFTS = (0, -1, 1, -28, 28)  # not at all, or by a pixel to the left, to the right, up or down

# The mean and the standard deviation of all pixels of MNIST's training set.
PIXEL_MEAN, PIXEL_STD = 0.1307, 0.3081


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

    2. The learning rate falls from epoch to epoch, by equal amounts, to a twentieth in the last.
       Long steps get far at first, but then they jump to and fro around the goal. Short ones let
       the weights settle.

    3. All biases begin at -2, for the reason that `initialize_weights_and_biases` gives.

    4. The pixels are standardized: their mean is subtracted, and the result is divided by their
       standard deviation. Background, 0, becomes -0.4, and ink, 1, becomes 2.8. As dE/dw =
       delta * x, larger inputs let the weights of the hidden nodes learn faster. And inputs on both
       sides of 0 let an image push some weights of a hidden node up and others down, which is
       mostly what is needed. With pixels from 0 to 1 it would push all that it changes in the same
       direction.

    5. The network sees a window of the image, which moves. For each batch the window stays in the
       middle or moves by a pixel, at random, so that the digits in it seem to move the other way. A
       digit that has moved is still the same digit, and the network learns that it does not matter
       exactly where a stroke is (Simard, Steinkraus and Platt, Best practices for convolutional
       neural networks applied to visual document analysis, 2003). The window leaves out three rows
       at the top and three at the bottom. One of each would be room enough to move; but all of them
       have little ink, and without them there is a fifth less to compute.

    6. What is learned is left out. `outputs` keeps what the network answered to each image when it
       last had it in a batch. Where all ten were nearer to the label than the tolerance, the deltas
       were smaller than those of the images that remain, which deserve the time more. So an epoch
       takes a fraction of the time, and the network reads as many digits right, though its outputs
       end a little further from the labels. It does forget a few of the images unnoticed. But the
       tolerance shrinks from epoch to epoch, so that those come back that were not learned well
       enough, and the last steps are too short to undo much. Leaving out is fair: how well the
       network reads is measured with the images of the test set. None of them is left out, and none
       is learned from. (LeCun, Bottou, Orr and Mueller, 1998, call this an emphasizing scheme.)

    Parameters
    ----------
    images : array of shape (N, 784)
        Pixels from 0 (background) to 1 (ink), of any dtype; they are converted to float32.
    labels : array of shape (N, 10)
        One-hot: in each row a 1 in the column of the digit, and 0 elsewhere.
    epochs : int
        The number of epochs; with 0 nothing is learned.
    hidden_nodes : int
        The number H of hidden nodes.
    learning_rate : float
        That of the first epoch.
    seed : int, numpy.random.Generator or None
        The same int gives the same network, bit for bit, on the same machine with the same number
        of threads.
    report : callable, optional
        Is called after each step with five arguments: the epoch (from 1), the number of epochs, how
        many images of this epoch are done, how many it has, and `outputs`, of shape (N, 10). They
        are from the last time that each image was in a batch: of the image moved as it was then, by
        the network as it was before that step. So an error or an accuracy that is computed from
        them lags behind the network as it is now. During the first epoch the outputs of images that
        have not had their turn are 0.

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

    # At first each output counts as 0. Then the one that should be 1 is off by 1, which is not less
    # than the tolerance, so that the first epoch takes all images.
    outputs = np.zeros_like(labels)

    rates = np.linspace(learning_rate, learning_rate / 20, epochs)  # one for each epoch
    for epoch, rate in enumerate(rates, start=1):
        # For each image: how far the worst of its ten outputs is from the label.
        distances = np.abs(outputs - labels).max(axis=1)
        unlearned = np.flatnonzero(distances >= TOLERANCE / epoch)  # numbers of images
        order = rng.permutation(unlearned)
        for start in range(0, len(order), BATCH_SIZE):
            batch = order[start : start + BATCH_SIZE]
            # Of the images of this batch, `img` has only the pixels in the window, which moves. At
            # the left or right edge of a row it may then show a pixel of the row before or after,
            # which is nearly always as blank as the one that was there.
            shift = rng.choice(SHIFTS)
            img = images[batch, WINDOW_START + shift : WINDOW_END + shift]
            img = (img - PIXEL_MEAN) / PIXEL_STD  # standardized
            # `*network` passes the four arrays in their order. backpropagation takes them in
            # another order: to it they are passed by name.
            hidden, output = forward_propagation(img, *network)
            backpropagation(
                img, labels[batch], hidden, output, **network._asdict(), learning_rate=rate
            )
            outputs[batch] = output
            if report:
                report(epoch, epochs, start + len(batch), len(order), outputs)

    # The network has learned from standardized pixels of a window, but will be asked with whole
    # images from 0 to 1. So the standardization becomes part of its weights and biases:
    #     w * (x - mean) / std  =  (w / std) * x  -  mean * (w / std)
    # In the first term w / std takes the place of the weight. The second has no x, so that the
    # second terms of all pixels can be added to the bias. Pixels outside the window have weights
    # of 0.
    weights = np.zeros((784, hidden_nodes), np.float32)
    weights[WINDOW_START:WINDOW_END] = network.weights_input_to_hidden / PIXEL_STD
    biases = network.biases_hidden - PIXEL_MEAN * weights.sum(axis=0)
    return network._replace(weights_input_to_hidden=weights, biases_hidden=biases)


def check_training_set(images: Array, labels: Array) -> None:
    """Raise a `ValueError` that says what is wrong with images and labels, if anything is."""
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


def load_mnist() -> tuple[ImageSet, ImageSet]:
    """Return the training set and the test set, both of the sample if a download fails."""
    try:
        return get_data("train"), get_data("test")
    except DownloadError:  # The reasons are on the screen.
        return get_data("train", folder=SAMPLE_FOLDER), get_data("test", folder=SAMPLE_FOLDER)


def run() -> None:
    """Train a network, test it, and let people try it out."""
    settings = parse_arguments()
    (images, labels), (test_images, test_labels) = load_mnist()
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
