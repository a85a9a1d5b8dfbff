"""A neural network, 784 pixels - 288 hidden nodes - 10 outputs, that learns to read digits."""

import argparse
import contextlib
import itertools
import os
import re
import sys
import time
from collections.abc import Callable

if __name__ == "__main__":  # before NumPy starts: more threads are far slower on a busy machine
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("VECLIB_MAXIMUM_THREADS", "1")  # on a Mac

import numpy as np
from numpy.typing import NDArray

from import_data import DataError, get_data

HIDDEN_NODES = 288  # more read a little better, but take longer
BATCH_SIZE = 64  # images per step: smaller batches are noisier, larger ones mean fewer steps
LEARNING_RATE = 1.0  # of the first step; it decays linearly to 0, so that the weights settle
TOLERANCE = 1.8  # an image with outputs within TOLERANCE / epochs**1.5 of its label is learned
MARGIN_ROWS = 3  # rows left out at the top and at the bottom: they hardly hold any ink
SHIFTS = (0, -1, 1, -28, 28)  # augmentation: a batch moves by a pixel at most (a row has 28)
PIXEL_MEAN, PIXEL_STD = 0.1307, 0.3081  # mean and standard deviation of all training pixels

Array = NDArray[np.floating]
Network = tuple[Array, Array, Array, Array]  # in the order of initialize_weights_and_biases
ImageSet = tuple[Array, Array]  # images and their labels


def initialize_weights_and_biases(
    *, hidden_nodes: int = HIDDEN_NODES, seed: int | np.random.Generator | None = None
) -> Network:
    """Return random weights and equal biases: a network that has not learned anything yet.

    Weights have a standard deviation of 1 / sqrt(number of inputs), so that a sum of many inputs is
    not larger than one of few (LeCun et al., Efficient BackProp, 1998). Biases of -2 let all nodes
    begin near sigmoid(-2) = 0.12: about right for outputs, and safe with longer steps for others.

    Parameters
    ----------
    hidden_nodes : int
        The size H of the hidden layer.
    seed : int, numpy.random.Generator or None
        None: another network each time.

    Returns
    -------
    weights_input_to_hidden : float32 array of shape (784, H)
    weights_hidden_to_output : float32 array of shape (H, 10)
    biases_hidden : float32 array of shape (H,)
    biases_output : float32 array of shape (10,)
    """
    rng = np.random.default_rng(seed)
    weights_input_to_hidden = rng.standard_normal((784, hidden_nodes), np.float32)
    weights_input_to_hidden /= np.sqrt(784)
    weights_hidden_to_output = rng.standard_normal((hidden_nodes, 10), np.float32)
    weights_hidden_to_output /= np.sqrt(hidden_nodes)
    biases_hidden = np.full(hidden_nodes, -2, np.float32)
    biases_output = np.full(10, -2, np.float32)
    return weights_input_to_hidden, weights_hidden_to_output, biases_hidden, biases_output


def sigmoid(x: Array) -> Array:
    """Return 1 / (1 + exp(-x)), from 0 to 1, for each element of a floating-point array.

    Without such an activation function two layers could do no more than one: a weighted sum of
    weighted sums is a weighted sum. The form with tanh is equal, and cannot overflow.
    """
    output: Array = 0.5 * (1 + np.tanh(0.5 * x))
    return output


def forward_propagation(
    img: Array,
    weights_input_to_hidden: Array,
    weights_hidden_to_output: Array,
    biases_hidden: Array,
    biases_output: Array,
) -> tuple[Array, Array]:
    """Return the activations of both layers for one image, or for a batch of N images.

    The weighted input z of a node is the sum of its inputs, each times its weight, plus its bias;
    its activation is sigmoid(z). `@` takes these sums for all nodes and all images at once.

    Parameters
    ----------
    img : floating-point array of shape (784,) or (N, 784)
        Or with fewer pixels, and weights to match: `train` leaves the margin out.
    weights_input_to_hidden, weights_hidden_to_output, biases_hidden, biases_output
        As `initialize_weights_and_biases` or `train` returns them.

    Returns
    -------
    hidden_layer_output : array of shape (H,) or (N, H)
    output_layer_output : array of shape (10,) or (N, 10)
        A score from 0 to 1 for each digit.
    """
    # (N, 784) @ (784, H) + (H,) -> (N, H)
    hidden_layer_output = sigmoid(img @ weights_input_to_hidden + biases_hidden)
    # (N, H) @ (H, 10) + (10,) -> (N, 10)
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
    """Return the mean squared error of outputs of shape (10,) or (N, 10), for people to watch.

    The cross-entropy (see `backpropagation`) is infinite once an output of 0 should be 1.
    """
    output, label = np.stack([output, label])  # a ValueError if the shapes differ
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
    """Take one step down the gradient of the error: change the weights and biases in place.

    The error E of one image is the cross-entropy of its outputs o and labels y. E itself is never
    computed, only its derivatives (Rumelhart, Hinton and Williams, Learning representations by
    back-propagating errors, 1986). The delta of a node is dE/dz, for its weighted input z:

        E = sum over outputs of -y * log(o) - (1 - y) * log(1 - o)
        dE/do = -y / o + (1 - y) / (1 - o) = (o - y) / (o * (1 - o))
        do/dz = o * (1 - o), as o = sigmoid(z)
        delta_output = dE/do * do/dz = o - y

    The activation h of a hidden node affects E through h * weight, a term of the z of each output:

        dE/dh = sum over outputs of delta_output * weight
        delta_hidden = dE/dh * dh/dz = dE/dh * h * (1 - h)

    A weight affects E through input * weight, a term of a single z; a bias is such a term itself:

        dE/dweight = input * delta,  dE/dbias = delta

    For a batch, E is the mean over its images. With the squared error, the factor o * (1 - o) would
    stay, and it is nearly 0 for an output that is badly wrong: that one would hardly learn.

    Parameters
    ----------
    img, hidden_layer_output, output_layer_output
        What `forward_propagation` was given, and what it returned.
    label : array of the shape of `output_layer_output`; any other is a `ValueError`
        The outputs wanted, from 0 to 1.
    weights_hidden_to_output, biases_output, biases_hidden, weights_input_to_hidden
        The arrays to change.
    learning_rate : float
        The step is this times the gradient.
    """
    output_layer_output, label = np.stack([output_layer_output, label])  # of equal shape
    img, hidden_layer_output = np.atleast_2d(img, hidden_layer_output)  # one image: a batch of one

    # Both deltas before any change: delta_hidden needs the weights that gave these outputs.
    delta_output = np.atleast_2d(output_layer_output - label)  # (N, 10)
    slope = hidden_layer_output * (1 - hidden_layer_output)  # dh/dz: (N, H)
    delta_hidden = delta_output @ weights_hidden_to_output.T * slope  # (N, 10) @ (10, H) -> (N, H)

    # Each product adds up input * delta over the N images; the step includes the 1 / N of the mean.
    step = learning_rate / len(img)
    weights_hidden_to_output -= hidden_layer_output.T @ (step * delta_output)  # (H, N) @ (N, 10)
    biases_output -= step * delta_output.sum(axis=0)
    weights_input_to_hidden -= img.T @ (step * delta_hidden)  # (784, N) @ (N, H) -> (784, H)
    biases_hidden -= step * delta_hidden.sum(axis=0)


def train(
    images: Array,
    labels: Array,
    *,
    epochs: int | None = None,
    hidden_nodes: int = HIDDEN_NODES,
    learning_rate: float = LEARNING_RATE,
    seed: int | np.random.Generator | None = None,
    report: Callable[..., object] | None = None,
) -> Network:
    """Return the weights and biases of a network that has learned to read the images.

    This is stochastic gradient descent: each epoch takes the images in a new random order, and each
    batch of them is a step. Leaving out what is learned is an emphasizing scheme (LeCun et al.,
    section 4.2); the shifts are a simple form of the distortions of Simard, Steinkraus and Platt
    (Best practices for convolutional neural networks applied to visual document analysis, 2003).

    Parameters
    ----------
    images : floating-point array of shape (N, 784), from 0 to 1
    labels : array of shape (N, 10), one-hot
        What is not as above is a `ValueError` that says in which way.
    epochs : int or None
        None: 9, or 30 if there are fewer than 20,000 images.
    hidden_nodes, seed
        As in `initialize_weights_and_biases`, whose four arrays `train` returns: with the same
        seed, machine and number of threads the same ones, bit for bit.
    learning_rate : float
        That of the first step.
    report : callable, optional
        Is called after each batch with: the epoch (from 1), the number of epochs, how many images
        of this epoch are done, how many it has, and the latest outputs of all N images (N, 10).
    """
    images, labels = np.asarray(images), np.asarray(labels)
    check_training_set(images, labels)
    if epochs is None:
        epochs = 9 if len(images) >= 20_000 else 30
    rng = np.random.default_rng(seed)
    network = initialize_weights_and_biases(hidden_nodes=hidden_nodes, seed=rng)
    weights_input_to_hidden, weights_hidden_to_output, biases_hidden, biases_output = network

    # The weights of the margin are 0. Those of the middle learn, and so the network: it is a view.
    first, end = 28 * MARGIN_ROWS, 784 - 28 * MARGIN_ROWS
    weights_input_to_hidden[:first] = weights_input_to_hidden[end:] = 0
    weights_middle = weights_input_to_hidden[first:end]
    forward_order = weights_middle, weights_hidden_to_output, biases_hidden, biases_output
    backward_order = weights_hidden_to_output, biases_output, biases_hidden, weights_middle

    outputs = np.full((len(images), 10), np.inf, np.float32)  # the latest ones, far off at first
    for epoch in range(epochs):
        # What is learned is left out from then on: it would take time and gain nothing.
        unlearned = (np.abs(outputs - labels) > TOLERANCE / epochs**1.5).any(axis=1)
        order = rng.permutation(np.flatnonzero(unlearned))
        for start in range(0, len(order), BATCH_SIZE):
            batch = order[start : start + BATCH_SIZE]
            shift = SHIFTS[rng.integers(len(SHIFTS))]
            img = images[batch, first + shift : end + shift]  # a copy, which starts elsewhere
            img = (img - PIXEL_MEAN) / PIXEL_STD  # standardized, it is learned faster
            rate = learning_rate * (1 - (epoch + start / len(order)) / epochs)
            hidden, output = forward_propagation(img, *forward_order)
            backpropagation(img, labels[batch], hidden, output, *backward_order, learning_rate=rate)
            outputs[batch] = output
            if report:
                report(epoch + 1, epochs, start + len(batch), len(order), outputs)

    # Fold the standardization into the network, which from now on takes pixels as they are:
    # weight * (pixel - mean) / std = (weight / std) * pixel - mean * (weight / std)
    weights_middle /= PIXEL_STD
    biases_hidden -= PIXEL_MEAN * weights_middle.sum(axis=0)
    return network


def check_training_set(images: Array, labels: Array) -> None:
    """Raise `ValueError` if these are not what `train` takes."""
    if images.ndim != 2 or images.shape[1] != 784 or len(images) == 0:
        raise ValueError(f"images must have shape (N, 784), N > 0, not {images.shape}")
    if images.dtype.kind != "f":
        raise ValueError(f"images must be a float array, not {images.dtype}")
    smallest, largest = images.min(), images.max()
    if np.isnan(smallest):
        raise ValueError("images must not contain NaN")
    if smallest < 0:
        raise ValueError(f"pixels must be from 0 to 1, but the smallest is {smallest:g}")
    if largest > 1:
        raise ValueError(f"pixels must be from 0 to 1, but the largest is {largest:g}")
    if labels.shape != (len(images), 10):
        raise ValueError(f"labels must have shape ({len(images)}, 10), not {labels.shape}")
    if not np.array_equal(labels, np.eye(10)[labels.argmax(axis=1)]):
        raise ValueError("labels must be one-hot: a single 1 in each row, and 0 elsewhere")


# From here on: the program.

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
    parser.add_argument("--epochs", type=int, help="passes (default: 9, or 30 on the sample)")
    parser.add_argument("--hidden-nodes", type=int, default=HIDDEN_NODES, help=default)
    parser.add_argument("--seed", type=int, default=0, help=f"of the random generator {default}")
    settings = parser.parse_args()
    if min(settings.epochs or 0, settings.hidden_nodes, settings.seed) < 0:
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
