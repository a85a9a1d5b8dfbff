"""Measure the program, its peers, and what each of its ideas brings: the tables of the README.

    python tests/benchmark.py              all of them, in 17 minutes
    python tests/benchmark.py ideas        one of them: comparison, ideas or experiments

This needs all of MNIST, and the comparison needs tests/requirements-peers.txt. Each run is a
process of its own. Times are medians; in parentheses, their ratio to the first row of the table is
the median of the ratios of runs that followed each other.
"""

import json
import os
import re
import resource
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from import_data import SAMPLE_FOLDER, get_data, missing_files

ROOT = Path(__file__).resolve().parent.parent
SEEDS = range(10)
Changes = dict[str, str]  # patterns in neural_network.py, and what takes their place
Figures = dict[str, Any]  # what one run has measured
Rows = dict[str, list[Figures]]  # of a table, each with its runs
Table = tuple[Rows, list[str]]  # the rows and the names of the columns

# What the program is without each of its ideas, at the learning rate that is best for that (1.2 in
# most cases): of those tried, it reads most of the 10,000 training images that are held out.
WITHOUT: dict[str, Changes] = {
    "as it is": {},
    "no moving, learning rate of 0.9": {
        "^SHIFTS = .*": "SHIFTS = (0,)",
        "^LEARNING_RATE = .*": "LEARNING_RATE = 0.9",
    },
    "biases of 0, learning rate of 0.5": {
        "^FIRST_BIAS = .*": "FIRST_BIAS = 0",
        "^LEARNING_RATE = .*": "LEARNING_RATE = 0.5",
    },
    "pixels from 0 to 1, learning rate of 3": {
        "^PIXEL_MEAN, PIXEL_STD = .*": "PIXEL_MEAN, PIXEL_STD = 0, 1",
        "^LEARNING_RATE = .*": "LEARNING_RATE = 3",
    },
    "whole images": {
        "^WINDOW_START, WINDOW_END = .*": "WINDOW_START, WINDOW_END = 0, 784",
        r"images\[batch, .*\]": "np.roll(images[batch], -shift, axis=1)",
    },
    "no image left out": {"^TOLERANCE = .*": "TOLERANCE = -1"},
    "no image left out, three epochs": {
        "^TOLERANCE = .*": "TOLERANCE = -1",
        "^EPOCHS = .*": "EPOCHS = 3",
    },
    "a constant learning rate of 0.2": {
        "learning_rate / 20": "learning_rate",
        "^LEARNING_RATE = .*": "LEARNING_RATE = 0.2",
    },
    "one image at a time, learning rate of 0.05, one epoch": {
        "^BATCH_SIZE = .*": "BATCH_SIZE = 1",
        "^LEARNING_RATE = .*": "LEARNING_RATE = 0.05",
        "^EPOCHS = .*": "EPOCHS = 1",
    },
}
# What the README suggests to try.
OPTIONS = "--hidden-nodes 1/--hidden-nodes 10/--epochs 1/--epochs 20/--epochs 30 --hidden-nodes 800"


def source(changes: Changes) -> str:
    """Return the text of neural_network.py with some changes."""
    text = (ROOT / "neural_network.py").read_text("utf-8")
    for pattern, new in changes.items():
        text, count = re.subn(pattern, new, text, flags=re.MULTILINE)
        assert count == 1, pattern
    return text


def network_module(changes: Changes | None = None) -> Any:
    """Return the module neural_network with some changes."""
    module = ModuleType("neural_network")
    exec(source(changes or {}), vars(module))
    return module


def result(seconds: float, digits: Any) -> Figures:
    """Return the figures of a training after which the test images are read as these digits."""
    unit = 1 if sys.platform == "darwin" else 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6
    accuracy = float(np.mean(np.asarray(digits) == get_data("test")[1].argmax(axis=1)))
    return {"training": seconds, "accuracy": accuracy, "peak MB": peak}


# What can be run in a process of its own:


def ours(seed: int) -> Figures:
    """Train as the program does."""
    return our_recipe(network_module(), seed)


def our_recipe(module: Any, seed: int) -> Figures:
    """Train with the functions of this module, and read the test images."""
    images, labels = get_data("train")
    started = time.perf_counter()
    network = module.train(images, labels, seed=seed)
    seconds = time.perf_counter() - started
    return result(seconds, network_module().predict(get_data("test")[0], *network))


def our_recipe_in_pytorch(seed: int) -> Figures:
    """Train as the program does, but let PyTorch do both passes and the steps."""
    import torch

    module = network_module()
    cross_entropy = torch.nn.BCEWithLogitsLoss(reduction="sum")
    tensors: list[Any] = []  # the network, in the memory of its arrays; the last weighted sums

    def forward(img: Any, *network: Any) -> tuple[Any, Any]:
        tensors[:] = [torch.from_numpy(array).requires_grad_() for array in network]
        hidden = torch.addmm(tensors[2], torch.from_numpy(img), tensors[0]).sigmoid()
        tensors.append(torch.addmm(tensors[3], hidden, tensors[1]))
        return hidden.detach().numpy(), tensors[4].detach().sigmoid().numpy()

    def backward(img: Any, label: Any, *_: Any, learning_rate: float, **__: Any) -> None:
        *parameters, weighted_sums = tensors
        cross_entropy(weighted_sums, torch.from_numpy(label)).backward()
        for parameter in parameters:
            parameter.data.sub_(parameter.grad, alpha=learning_rate / len(img))

    vars(module).update(forward_propagation=forward, backpropagation=backward)
    return our_recipe(module, seed)


def original_recipe(seed: int) -> Figures:
    """Train by the original recipe: one image at a time, 784-20-10, rate 0.01, 3 epochs."""
    images, labels = get_data("train")
    rng = np.random.default_rng(seed)
    weights_hidden = rng.uniform(-0.5, 0.5, (20, 784))
    weights_output = rng.uniform(-0.5, 0.5, (10, 20))
    biases_hidden, biases_output = np.zeros((20, 1)), np.zeros((10, 1))
    started = time.perf_counter()
    for _ in range(3):
        correct = 0
        for image, label in zip(images[:, :, None], labels[:, :, None], strict=True):
            hidden = 1 / (1 + np.exp(-(biases_hidden + weights_hidden @ image)))
            output = 1 / (1 + np.exp(-(biases_output + weights_output @ hidden)))
            np.sum((output - label) ** 2) / len(output)
            correct += int(np.argmax(output) == np.argmax(label))
            delta_output = output - label
            weights_output += -0.01 * delta_output @ hidden.T
            biases_output += -0.01 * delta_output
            delta_hidden = weights_output.T @ delta_output * (hidden * (1 - hidden))
            weights_hidden += -0.01 * delta_hidden @ image.T
            biases_hidden += -0.01 * delta_hidden
    seconds = time.perf_counter() - started
    network = weights_hidden.T, weights_output.T, biases_hidden[:, 0], biases_output[:, 0]
    return result(seconds, network_module().predict(get_data("test")[0], *network))


def pytorch(seed: int) -> Figures:
    """Train as users of PyTorch would, at the best rate of those tried."""
    from torch import from_numpy, manual_seed, nn, optim, randperm

    manual_seed(seed)
    images, labels, test_images = map(from_numpy, (*get_data("train"), get_data("test")[0]))
    digits = labels.argmax(1)
    network = nn.Sequential(nn.Linear(784, 512), nn.ReLU(), nn.Dropout(0.2), nn.Linear(512, 10))
    optimizer = optim.Adam(network.parameters())
    schedule = optim.lr_scheduler.OneCycleLR(optimizer, 0.005, 10 * 469)
    started = time.perf_counter()
    for _ in range(10):
        for batch in randperm(len(images)).split(128):
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(images[batch]), digits[batch]).backward()
            optimizer.step()
            schedule.step()
    seconds = time.perf_counter() - started
    return result(seconds, network.eval()(test_images).argmax(1))


def scikit_learn(seed: int) -> Figures:
    """Train scikit-learn's network with its defaults, until it stops by itself."""
    from sklearn.neural_network import MLPClassifier

    images, labels = get_data("train")
    started = time.perf_counter()
    network = MLPClassifier(random_state=seed).fit(images, labels.argmax(axis=1))
    return result(time.perf_counter() - started, network.predict(get_data("test")[0]))


def held_out(seed: int, changes: Changes) -> Figures:
    """Train on the first 50,000 training images with some changes, and read the other 10,000."""
    images, labels = get_data("train")
    module = network_module(changes)
    started = time.perf_counter()
    network = module.train(images[:50_000], labels[:50_000], seed=seed)
    seconds = time.perf_counter() - started
    digits = module.predict(images[50_000:], *network)
    accuracy = float(np.mean(digits == labels[50_000:].argmax(axis=1)))
    return {"held-out accuracy": accuracy, "training": seconds}


def run(what: str, *arguments: str, **environment: str) -> tuple[str, Figures]:
    """Run Python, announced on stderr; return its output and its time."""
    print(what, file=sys.stderr)
    env = os.environ | {"PYTHONPATH": str(ROOT)} | environment
    started = time.perf_counter()
    output = subprocess.check_output([sys.executable, *arguments], env=env, input="q", text=True)
    return output, {"start to end": time.perf_counter() - started}


def work(worker: Callable[..., Figures], threads: int = 1, **settings: Any) -> Figures:
    """Run one of the functions above in a process of its own."""
    arguments = worker.__name__, json.dumps(settings)
    what = f"{' '.join(arguments)} on {threads} thread(s)"
    output, figures = run(what, __file__, *arguments, OMP_NUM_THREADS=str(threads))
    return {**figures, **json.loads(output)}


def program(options: str = "", changes: Changes | None = None, **environment: str) -> Figures:
    """Run the program from its start to its prompt."""
    what = f"neural_network.py {options} {changes or ''}"
    output, figures = run(what, "-c", source(changes or {}), *options.split(), **environment)
    return figures | {"accuracy": float(re.findall("Test accuracy: (.*)%", output)[0]) / 100}


def comparison() -> Table:
    """Compare with peers, on one thread or two, whichever is faster."""
    rows: Rows = defaultdict(list)
    for seed in SEEDS:
        rows["this program"].append(work(ours, seed=seed) | program(f"--seed {seed}"))
        rows["original recipe"].append(work(original_recipe, seed=seed))
        for peer in (our_recipe_in_pytorch, pytorch, scikit_learn):
            runs = [work(peer, threads, seed=seed) for threads in (1, 2)]
            fastest = min(runs, key=lambda figures: float(figures["training"]))
            rows[peer.__name__.replace("_", " ")].append(fastest)
    return rows, ["accuracy", "training", "start to end", "peak MB"]


def ideas() -> Table:
    """Leave out each idea in turn. These are not the test images, but 10,000 training images."""
    rows: Rows = defaultdict(list)
    for seed in SEEDS:
        for name, changes in WITHOUT.items():
            rows[name].append(work(held_out, seed=seed, changes=changes))
    return rows, ["held-out accuracy", "training"]


def experiments() -> Table:
    """Try what the README suggests, with the seed 0, and the bundled sample."""
    rows = {"as it is": [program()]}
    rows |= {options: [program(options)] for options in OPTIONS.split("/")}
    long_steps = {"^LEARNING_RATE = .*": "LEARNING_RATE = 10"}
    rows["LEARNING_RATE = 10"] = [program(changes=long_steps)]
    rows["the bundled sample"] = [program(MNIST_DIR=str(SAMPLE_FOLDER))]
    return rows, ["accuracy", "start to end"]


def cell(column: str, runs: list[Figures], first_row: list[Figures]) -> str:
    """Return a cell of a table."""
    figures = [run[column] for run in runs]
    if column in ("training", "start to end"):
        ratios = np.divide(figures, [run[column] for run in first_row])
        return f"{np.median(figures):#.3g} s ({np.median(ratios):.2f})"
    if "accuracy" in column:
        worst = f" (worst {min(figures):.2%})" if len(runs) > 1 else ""
        return f"{np.mean(figures):.2%}{worst}"
    return f"{np.mean(figures):,.0f}"


def print_tables(tables: list[str]) -> None:
    """Print tables in Markdown."""
    folder = Path(os.environ.get("MNIST_DIR") or ROOT / "data")
    if missing_files(folder, "train") or missing_files(folder, "test"):
        sys.exit("The full MNIST is missing: run neural_network.py first, or set MNIST_DIR")
    print(f"{os.cpu_count()} cores, Python {sys.version.split()[0]}, NumPy {np.__version__}")
    for table in map(globals().__getitem__, tables):
        rows, columns = table()
        print(f"\n{table.__doc__}\n\n| | {' | '.join(columns)} |\n|---{'|---' * len(columns)}|")
        for row, runs in rows.items():
            cells = [cell(column, runs, next(iter(rows.values()))) for column in columns]
            print(f"| {row} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    if len(sys.argv) == 3:
        worker, settings = sys.argv[1:]
        print(json.dumps(globals()[worker](**json.loads(settings))))
    else:
        print_tables(sys.argv[1:] or ["comparison", "ideas", "experiments"])
