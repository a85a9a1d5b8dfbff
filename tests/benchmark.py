"""Compare the program with its ancestor and its peers, in the same run on the same machine.

    python tests/benchmark.py

needs the full MNIST (see the README) and takes about seven minutes. scikit-learn and PyTorch take
part where they are installed (tests/requirements-peers.txt). Machines are noisy: times are medians
of several runs, ratios are medians over pairs of runs that followed each other. Each run is a
process of its own: `python tests/benchmark.py WORKER ARGUMENTS` is one of them.
"""

import importlib.metadata
import importlib.util
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
PROGRAM = [sys.executable, str(ROOT / "neural_network.py")]
OFFLINE = "import import_data, runpy; import_data.MIRRORS = (); " + (
    f"runpy.run_path({PROGRAM[1]!r}, run_name='__main__')"
)
SEEDS = range(5)
ROUNDS = 3


# The runs. They import what they need themselves, after their threads have been set.


def from_scratch(image_count: int, hidden_nodes: int, epochs: int) -> dict[str, float]:
    """Train as the program does; then time nothing but the same two large matrix products.

    0 epochs stand for the usual number.
    """
    import numpy as np

    from import_data import get_data
    from neural_network import BATCH_SIZE, ROWS_LEFT_OUT, default_epochs, train

    images, labels = get_data("train")
    images, labels = images[:image_count], labels[:image_count]
    epochs = epochs or default_epochs(len(images))
    steps: list[int] = []  # the size of each batch

    def report(_epoch: int, _epoch_images: int, outputs: Any, _labels: Any) -> None:
        steps.append(len(outputs) % BATCH_SIZE or BATCH_SIZE)

    started = time.perf_counter()
    train(images, labels, hidden_nodes=hidden_nodes, epochs=epochs, seed=0, report=report)
    seconds = time.perf_counter() - started
    random = np.random.default_rng(0)
    pixels = 784 - 56 * ROWS_LEFT_OUT
    img = random.random((BATCH_SIZE, pixels), dtype=np.float32)
    weights = random.random((pixels, hidden_nodes), dtype=np.float32)
    delta_hidden = random.random((BATCH_SIZE, hidden_nodes), dtype=np.float32)
    before = time.perf_counter()
    for size in steps:
        img[:size] @ weights
        img[:size].T @ delta_hidden[:size]
    products = time.perf_counter() - before
    return {"seconds": seconds, "images": sum(steps), "share": products / seconds}


def original() -> dict[str, float]:
    """Train by the original recipe: one image at a time, 784-20-10, rate 0.01, 3 epochs.

    Like the original, it changes the weights of the outputs before it uses them for delta_hidden.
    """
    import numpy as np

    from import_data import get_data

    images, labels = get_data("train")
    test_images, test_labels = get_data("test")
    random = np.random.default_rng(0)
    weights_hidden = random.uniform(-0.5, 0.5, (20, 784))
    weights_output = random.uniform(-0.5, 0.5, (10, 20))
    biases_hidden, biases_output = np.zeros((20, 1)), np.zeros((10, 1))

    def forward(image: Any) -> tuple[Any, Any]:
        hidden = 1 / (1 + np.exp(-(biases_hidden + weights_hidden @ image)))
        return hidden, 1 / (1 + np.exp(-(biases_output + weights_output @ hidden)))

    for _ in range(3):
        correct = 0
        for row, one_hot in zip(images, labels, strict=True):
            image, label = row.reshape(-1, 1), one_hot.reshape(-1, 1)
            hidden, output = forward(image)
            np.sum((output - label) ** 2) / len(output)
            correct += int(np.argmax(output) == np.argmax(label))
            delta_output = output - label
            weights_output += -0.01 * delta_output @ hidden.T
            biases_output += -0.01 * delta_output
            delta_hidden = weights_output.T @ delta_output * (hidden * (1 - hidden))
            weights_hidden += -0.01 * delta_hidden @ image.T
            biases_hidden += -0.01 * delta_hidden
    digits = forward(test_images.T)[1].argmax(axis=0)
    return {"accuracy": float((digits == test_labels.argmax(axis=1)).mean())}


def pytorch(threads: int, rows_left_out: int) -> dict[str, float]:
    """Train the same network by the same recipe, in another random order, with PyTorch."""
    import numpy as np
    import torch

    import neural_network as ours
    from import_data import get_data

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    random = np.random.default_rng(0)
    images, labels = (torch.from_numpy(array) for array in get_data("train"))
    first, end = 28 * rows_left_out, 784 - 28 * rows_left_out
    epochs = ours.default_epochs(len(images))
    network = torch.nn.Sequential(
        torch.nn.Linear(end - first, ours.HIDDEN_NODES),
        torch.nn.Sigmoid(),
        torch.nn.Linear(ours.HIDDEN_NODES, 10),
    )
    initial = ours.initialize_weights_and_biases(seed=0)
    with torch.no_grad():
        network[0].weight.copy_(torch.from_numpy(initial[0][first:end].T))
        network[0].bias.copy_(torch.from_numpy(initial[2]))
        network[2].weight.copy_(torch.from_numpy(initial[1].T))
        network[2].bias.copy_(torch.from_numpy(initial[3]))
    cross_entropy = torch.nn.BCEWithLogitsLoss(reduction="sum")
    optimizer = torch.optim.SGD(network.parameters(), lr=ours.LEARNING_RATE)
    started = time.perf_counter()
    unlearned = torch.arange(len(images))
    images_seen = 0
    for epoch in range(epochs):
        order = unlearned[torch.randperm(len(unlearned))]
        epoch_labels = labels[order]
        epoch_outputs = torch.empty(epoch_labels.shape)
        for start in range(0, len(order), ours.BATCH_SIZE):
            rows = slice(start, start + ours.BATCH_SIZE)
            shift = ours.SHIFTS[random.integers(len(ours.SHIFTS))]
            if rows_left_out:
                img = images[order[rows], first + shift : end + shift]
            else:
                img = torch.roll(images[order[rows]], -shift, 1)
            output = network(img.sub_(ours.PIXEL_MEAN).div_(ours.PIXEL_DEVIATION))
            optimizer.zero_grad()
            (cross_entropy(output, epoch_labels[rows]) / len(img)).backward()
            rate = ours.LEARNING_RATE * (1 - (epoch + start / len(order)) / epochs)
            optimizer.param_groups[0]["lr"] = rate
            optimizer.step()
            epoch_outputs[rows] = output.detach()
        images_seen += len(order)
        differences = (epoch_outputs.sigmoid() - epoch_labels).abs()
        unlearned = order[(differences > ours.TOLERANCE / epochs).any(dim=1)]
    seconds = time.perf_counter() - started
    test_images, test_labels = (torch.from_numpy(array) for array in get_data("test"))
    with torch.no_grad():
        output = network((test_images[:, first:end] - ours.PIXEL_MEAN) / ours.PIXEL_DEVIATION)
    accuracy = (output.argmax(1) == test_labels.argmax(1)).float().mean()
    return {"seconds": seconds, "images": images_seen, "accuracy": float(accuracy)}


def scikit_learn(threads: int, rows_left_out: int) -> dict[str, float]:
    """Train a network of the same size on batches of the same size with scikit-learn.

    It differs in more than speed: a rate that stays, softmax outputs, its own initial weights, no
    shifts, and no image is left out. So its accuracy only shows that it learned. Its threads are
    BLAS's, and set in the environment.
    """
    import warnings

    from sklearn.neural_network import MLPClassifier

    import neural_network as ours
    from import_data import get_data

    images, labels = get_data("train")
    test_images, test_labels = get_data("test")
    epochs = ours.default_epochs(len(images))
    middle = slice(28 * rows_left_out, 784 - 28 * rows_left_out)
    images = (images[:, middle] - ours.PIXEL_MEAN) / ours.PIXEL_DEVIATION
    network = MLPClassifier(
        (ours.HIDDEN_NODES,),
        "logistic",
        solver="sgd",
        batch_size=ours.BATCH_SIZE,
        learning_rate_init=0.2,
        momentum=0,
        nesterovs_momentum=False,
        max_iter=epochs,
        random_state=0,
    )
    started = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that so few epochs have not converged
        network.fit(images, labels.argmax(axis=1))
    seconds = time.perf_counter() - started
    test_images = (test_images[:, middle] - ours.PIXEL_MEAN) / ours.PIXEL_DEVIATION
    accuracy = network.score(test_images, test_labels.argmax(axis=1))
    return {"seconds": seconds, "images": epochs * len(images), "accuracy": accuracy}


def busy() -> dict[str, float]:
    """Keep a core busy until killed."""
    while True:
        pass


WORKERS: dict[str, Callable[..., dict[str, float]]] = {
    "from_scratch": from_scratch,
    "original": original,
    "pytorch": pytorch,
    "scikit_learn": scikit_learn,
    "busy": busy,
}


# The report.


class Run(NamedTuple):
    """What a process printed, how long it took, and its peak memory."""

    output: str
    seconds: float
    megabytes: float


def run(command: list[str], **environment: str) -> Run:
    """Run a process whose standard input is a `q`."""
    with tempfile.TemporaryFile() as output:
        started = time.perf_counter()
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.DEVNULL,
            env=os.environ | environment,
        )
        assert process.stdin is not None
        process.stdin.write(b"q\n")
        process.stdin.close()
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            raise SystemExit(f"{command} failed with exit status {process.returncode}")
        output.seek(0)
        return Run(output.read().decode(), seconds, usage.ru_maxrss / 1024)


def work(worker: str, *arguments: int, threads: int = 1) -> dict[str, float]:
    """Run one of the workers in a process of its own."""
    command = [sys.executable, __file__, worker, *map(str, arguments)]
    thread_counts = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(threads))
    result: dict[str, float] = json.loads(run(command, **thread_counts).output)
    return result


def accuracy(program_run: Run) -> float:
    """Return the test accuracy that the program printed."""
    line = next(x for x in program_run.output.splitlines() if x.startswith("Test accuracy"))
    return float(line.split()[-1].rstrip("%"))


def row(what: str, figure: str) -> None:
    """Print a row of the table."""
    print(f"| {what} | {figure} |", flush=True)


def print_tables() -> None:
    """Print all tables."""
    median = statistics.median
    versions = [f"Python {platform.python_version()}"]
    for package in ("numpy", "scikit-learn", "torch"):
        if importlib.util.find_spec({"scikit-learn": "sklearn"}.get(package, package)):
            versions.append(f"{package} {importlib.metadata.version(package)}")
    print(
        f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}, {', '.join(versions)}\n"
    )
    print("| what | figure |\n|---|---|")

    runs = [run([*PROGRAM, "--seed", str(seed)]) for seed in SEEDS]
    accuracies = [accuracy(program_run) for program_run in runs]
    row("test accuracy, mean of seeds 0 - 4", f"{statistics.mean(accuracies):.2f} %")
    row("test accuracy, worst of these seeds", f"{min(accuracies):.2f} %")
    row("start to prompt", f"{median(r.seconds for r in runs):.2f} s")
    row("peak memory", f"{max(r.megabytes for r in runs):.0f} MB")

    theirs, ratios = [], []
    for _ in range(ROUNDS):
        theirs.append(run([sys.executable, __file__, "original"]))
        ratios.append(run(PROGRAM).seconds / theirs[-1].seconds)
    row("original recipe, start to end", f"{median(r.seconds for r in theirs):.2f} s")
    percent = 100 * json.loads(theirs[0].output)["accuracy"]
    row("original recipe, test accuracy", f"{percent:.2f} %")
    row("start to prompt / original recipe", f"{median(ratios):.2f}")

    ratios = []
    for _ in range(ROUNDS):
        idle = run(PROGRAM).seconds
        other = subprocess.Popen([sys.executable, __file__, "busy"])
        ratios.append(run(PROGRAM).seconds / idle)
        other.kill()
        other.wait()
    row("start to prompt, one core busy with another process / idle", f"{median(ratios):.2f}")

    from neural_network import HIDDEN_NODES, ROWS_LEFT_OUT

    ours = [work("from_scratch", 60_000, HIDDEN_NODES, 0) for _ in range(ROUNDS)]
    row("training time", f"{median(result['seconds'] for result in ours):.2f} s")
    row("images seen in all epochs", f"{ours[0]['images']:,}")
    share = median(result["share"] for result in ours)
    row("share of the training time that the two large products alone need", f"{share:.2f}")
    for name, module, worker in (
        ("PyTorch", "torch", "pytorch"),
        ("scikit-learn", "sklearn", "scikit_learn"),
    ):
        if importlib.util.find_spec(module) is None:
            row(f"training time for each image seen / {name}", "not installed")
            continue
        # On all pixels, as its users would; and on the rows that ours has found to be enough.
        for rows_left_out in (0, ROWS_LEFT_OUT):
            ratios = []
            for _ in range(ROUNDS):
                mine = work("from_scratch", 60_000, HIDDEN_NODES, 0)
                peers = [
                    work(worker, threads, rows_left_out, threads=threads) for threads in (1, 2)
                ]
                fastest = min(peer["seconds"] / peer["images"] for peer in peers)
                ratios.append(mine["seconds"] / mine["images"] / fastest)
            pixels = 784 - 56 * rows_left_out
            row(
                f"training time for each image seen / {name} on {pixels} pixels",
                f"{median(ratios):.2f}",
            )
        percent = 100 * peers[0]["accuracy"]
        row(f"test accuracy of {name} on {pixels} pixels, seed 0", f"{percent:.2f} %")

    with tempfile.TemporaryDirectory() as empty:
        command = [sys.executable, "-c", OFFLINE]
        # It imports NumPy before the program can set the threads, so that is done here.
        settings = {"MNIST_DIR": empty, "MNIST_MIRROR": "", "OMP_NUM_THREADS": "1"}
        runs = [run(command, PYTHONPATH=str(ROOT), **settings) for _ in range(ROUNDS)]
    row("bundled sample: start to prompt", f"{median(r.seconds for r in runs):.2f} s")
    row("bundled sample: test accuracy", f"{accuracy(runs[0]):.2f} %")

    long = run([*PROGRAM, "--epochs", "30", "--hidden-nodes", "800"])
    row("--epochs 30 --hidden-nodes 800: test accuracy", f"{accuracy(long):.2f} %")
    row("--epochs 30 --hidden-nodes 800: start to prompt", f"{long.seconds:.1f} s")

    print("\n| images | hidden nodes | seconds for the first epoch |\n|---|---|---|")
    for images, hidden_nodes in (
        *((images, HIDDEN_NODES) for images in (6_000, 20_000, 60_000)),
        *((60_000, hidden_nodes) for hidden_nodes in (64, 128, 256, 512)),
    ):
        seconds = median(
            work("from_scratch", images, hidden_nodes, 1)["seconds"] for _ in range(ROUNDS)
        )
        print(f"| {images:,} | {hidden_nodes} | {seconds:.3f} |", flush=True)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(WORKERS[sys.argv[1]](*map(int, sys.argv[2:]))))
    else:
        print_tables()
