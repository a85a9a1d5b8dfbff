"""Measure the program, and compare it with the original recipe and with its peers.

`python tests/benchmark.py` needs the full MNIST, tests/requirements-peers.txt and a quarter of an
hour; with --quick it needs no peers, and a minute. Each run is a process of its own. Times are
medians, their ratios to the first row of a table are medians over pairs of runs of the same round.
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
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import neural_network
from import_data import SAMPLE_FOLDER, get_data, missing_files
from neural_network import BATCH_SIZE, HIDDEN_NODES, TOLERANCE, WINDOW_END, WINDOW_START

ROOT = Path(neural_network.__file__).parent
QUICK = "--quick" in sys.argv
SEEDS = range(1 if QUICK else 5)
# The experiments of the README: options, and lines that replace the program's own.
OPTIONS = ("--hidden-nodes 1", "--hidden-nodes 10", "--epochs 1", "--epochs 30 --hidden-nodes 800")
SETTINGS = ("SHIFTS = (0,)", "LEARNING_RATE = 10", "TOLERANCE = -1")
BIASES = "biases_hidden = np.zeros(hidden_nodes, np.float32)"
BUSY = "import os\nparent = os.getppid()\nwhile parent == os.getppid(): pass"

Figures = dict[str, float]  # what one run has measured
Rows = dict[str, list[Figures]]  # of a table, each with its runs
Table = tuple[Rows, list[str]]  # the rows and the names of the columns


def result(seconds: float, digits: Any) -> Figures:
    """Return the figures of a training after which the test images are read as these digits."""
    megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    accuracy = float(np.mean(np.asarray(digits) == get_data("test")[1].argmax(axis=1)))
    return {
        "training": seconds,
        "accuracy": accuracy,
        "reached": float(accuracy >= 0.985),
        "until 98.5%": seconds,  # the whole training if it does not get there, too
        "peak MB": megabytes,
    }


def ours(image_count: int = 60_000, tolerance: float = TOLERANCE, **options: Any) -> Figures:
    """Train as the program does; look at the images left out in the end, and at unsure answers."""
    neural_network.TOLERANCE = tolerance
    images, labels = (array[:image_count] for array in get_data("train"))
    test_images, test_labels = get_data("test")
    counts = []  # of images in each epoch
    history = [np.zeros_like(labels)]  # the outputs before and after each epoch

    def report(_epoch: int, _epochs: int, done: int, count: int, outputs: Any) -> None:
        if done == count:
            counts.append(count)
            history[:] = history[-1], outputs.copy()

    started = time.perf_counter()
    network = neural_network.train(images, labels, report=report, **options)
    seconds = time.perf_counter() - started
    _, outputs = neural_network.forward_propagation(test_images, *network)
    digits, scores = outputs.argmax(axis=1), outputs.max(axis=1)
    figures = result(seconds, digits)  # before more memory is taken
    right = digits == test_labels.argmax(axis=1)
    left_out = (np.abs(history[0] - labels) < tolerance / len(counts)).all(axis=1)
    misread = neural_network.predict(images, *network) != labels.argmax(axis=1)
    return figures | {
        "images seen": sum(counts),
        "left out": int(left_out.sum()),
        "misread": int((left_out & misread).sum()),
        "right at 0.7-0.8": float(right[(scores >= 0.7) & (scores < 0.8)].mean()),
    }


def our_recipe_in_pytorch(seed: int) -> Figures:
    """Train as the program does, but let PyTorch do both passes and the steps."""
    import torch

    cross_entropy = torch.nn.BCEWithLogitsLoss(reduction="sum")
    tensors: list[Any] = []  # the network, in the memory of its arrays; the last weighted inputs

    def forward(img: Any, *network: Any) -> tuple[Any, Any]:
        tensors[:] = [torch.from_numpy(array).requires_grad_() for array in network]
        hidden = torch.addmm(tensors[2], torch.from_numpy(img), tensors[0]).sigmoid()
        tensors.append(torch.addmm(tensors[3], hidden, tensors[1]))
        return hidden.detach().numpy(), tensors[4].detach().sigmoid().numpy()

    def backward(img: Any, label: Any, *_: Any, learning_rate: float) -> None:
        *parameters, weighted_inputs = tensors
        cross_entropy(weighted_inputs, torch.from_numpy(label)).backward()
        for parameter in parameters:
            parameter.data.sub_(parameter.grad, alpha=learning_rate / len(img))

    vars(neural_network).update(forward_propagation=forward, backpropagation=backward)
    return ours(seed=seed)


def matrix_products() -> Figures:
    """Take only the two large matrix products of the first epoch."""
    img = np.ones((BATCH_SIZE, WINDOW_END - WINDOW_START), np.float32)
    weights = np.ones((img.shape[1], HIDDEN_NODES), np.float32)
    delta_hidden = np.ones((BATCH_SIZE, HIDDEN_NODES), np.float32)
    started = time.perf_counter()
    for _ in range(60_000 // BATCH_SIZE):
        img @ weights
        img.T @ delta_hidden
    return {"training": time.perf_counter() - started}


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
    return result(seconds, neural_network.predict(get_data("test")[0], *network))


def pytorch(seed: int) -> Figures:
    """Train as users of PyTorch would, at the best rate of those tried; tests are not timed."""
    from torch import from_numpy, manual_seed, nn, optim, randperm

    manual_seed(seed)
    images, labels, test_images = map(from_numpy, (*get_data("train"), get_data("test")[0]))
    digits = labels.argmax(1)
    network = nn.Sequential(nn.Linear(784, 512), nn.ReLU(), nn.Dropout(0.2), nn.Linear(512, 10))
    optimizer = optim.Adam(network.parameters())
    schedule = optim.lr_scheduler.OneCycleLR(optimizer, 0.005, 10 * 469)
    seconds, epochs = 0.0, []
    for _ in range(10):
        started = time.perf_counter()
        network.train()
        for batch in randperm(len(images)).split(128):
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(images[batch]), digits[batch]).backward()
            optimizer.step()
            schedule.step()
        seconds += time.perf_counter() - started
        epochs.append(result(seconds, network.eval()(test_images).argmax(1)))
    first = next((epoch for epoch in epochs if epoch["reached"]), epochs[-1])
    return epochs[-1] | {name: first[name] for name in ("reached", "until 98.5%")}


def scikit_learn(seed: int) -> Figures:
    """Train scikit-learn's network with its defaults, until it stops by itself."""
    from sklearn.neural_network import MLPClassifier

    images, labels = get_data("train")
    started = time.perf_counter()
    network = MLPClassifier(random_state=seed).fit(images, labels.argmax(axis=1))
    return result(time.perf_counter() - started, network.predict(get_data("test")[0]))


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


def program(options: str = "", line: str = "", **environment: str) -> Figures:
    """Run the program from its start to its prompt, perhaps with a line in place of its own."""
    source = (ROOT / "neural_network.py").read_text("utf-8")
    if line:
        name, _ = line.split("=")
        source, count = re.subn(f"^( *){name}=.*", rf"\1{line}", source, count=1, flags=re.M)
        assert count == 1, line
    what = f"neural_network.py {options}{line}"
    output, figures = run(what, "-c", source, *options.split(), **environment)
    return figures | {"accuracy": float(re.findall("Test accuracy: (.*)%", output)[0]) / 100}


def comparison() -> Table:
    """Compare with the original recipe, and with peers on the better of one and two threads."""
    peers = () if QUICK else (pytorch, our_recipe_in_pytorch, scikit_learn)
    rows: Rows = defaultdict(list)
    for seed in SEEDS:
        rows["this program"].append(work(ours, seed=seed) | program(f"--seed {seed}"))
        rows["original recipe"].append(work(original_recipe, seed=seed))
        for peer in peers:
            runs = [work(peer, threads, seed=seed) for threads in (1, 2)]
            fastest = min(runs, key=lambda figures: figures["until 98.5%"])
            rows[peer.__name__.replace("_", " ")].append(fastest)
    return rows, ["accuracy", "training", "start to end", "until 98.5%", "reached", "peak MB"]


def left_out_images() -> Table:
    """Compare training as it is with training on all images in all epochs."""
    rows: Rows = defaultdict(list)
    for seed in SEEDS:
        rows["as it is"].append(work(ours, seed=seed))
        rows["all images"].append(work(ours, seed=seed, tolerance=-1))
        rows["all images, 3 epochs"].append(work(ours, seed=seed, tolerance=-1, epochs=3))
    return rows, ["accuracy", "training", "images seen", "left out", "misread", "right at 0.7-0.8"]


def busy_machine() -> Table:
    """Run the program, and the README's snippet, beside a process that keeps one core busy."""
    readme = (ROOT / "README.md").read_text("utf-8")
    snippet = re.findall("```python\n(import .*?)```", readme, re.S)[0]
    rows: Rows = defaultdict(list)
    for _ in SEEDS:
        rows["program, idle machine"].append(program())
        busy = subprocess.Popen([sys.executable, "-c", BUSY])
        rows["program, one core busy"].append(program())
        rows["snippet, one core busy"].append(run("snippet", "-c", snippet)[1])
        busy.kill()
        busy.wait()
    return rows, ["start to end"]


def experiments() -> Table:
    """Try what the README suggests, and the bundled sample."""
    rows = {options: [program(options)] for options in OPTIONS}
    rows |= {line: [program(line=line)] for line in (*SETTINGS, BIASES)}
    rows["the bundled sample"] = [program(MNIST_DIR=str(SAMPLE_FOLDER))]
    return rows, ["accuracy", "start to end"]


def growth() -> Table:
    """Train for one epoch: all of it, with other sizes, and only its large matrix products."""
    sizes = [(60_000, HIDDEN_NODES), (20_000, HIDDEN_NODES), (6_000, HIDDEN_NODES)]
    sizes += [(60_000, nodes) for nodes in (64, 128, 256, 512)]
    rows: Rows = defaultdict(list)
    for _ in SEEDS:
        for images, nodes in sizes:
            run = work(ours, image_count=images, hidden_nodes=nodes, epochs=1)
            rows[f"{images:,} images, {nodes} hidden nodes"].append(run)
        rows["only its matrix products"].append(work(matrix_products))
    return rows, ["training"]


def cell(column: str, runs: list[Figures], first_row: list[Figures]) -> str:
    """Return a cell of a table: a time has its ratio to that of the first row in parentheses."""
    figures = np.array([run[column] for run in runs])
    if column in ("training", "start to end", "until 98.5%"):
        ratios = figures / [run[column] for run in first_row]
        return f"{np.median(figures):#.3g} s ({np.median(ratios):.2f})"
    if column == "accuracy":
        return f"{figures.mean():.2%}" + (f" (worst {figures.min():.2%})" if len(runs) > 1 else "")
    return f"{figures.mean():,.0f}" if isinstance(runs[0][column], int) else f"{figures.mean():.1%}"


def print_tables() -> None:
    """Print all tables in Markdown."""
    if missing_files(Path(os.environ.get("MNIST_DIR") or ROOT / "data")):
        sys.exit("The full MNIST is missing: run neural_network.py first, or set MNIST_DIR")
    print(f"{os.cpu_count()} cores, Python {sys.version.split()[0]}, NumPy {np.__version__}")
    for table in (comparison, left_out_images, busy_machine, experiments, growth):
        rows, columns = table()
        print(f"\n{table.__doc__}\n\n| | {' | '.join(columns)} |\n|---{'|---' * len(columns)}|")
        for row, runs in rows.items():
            cells = [cell(column, runs, next(iter(rows.values()))) for column in columns]
            print(f"| {row} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    if sys.argv[1:] in ([], ["--quick"]):
        print_tables()
    else:
        worker, settings = sys.argv[1:]
        print(json.dumps(globals()[worker](**json.loads(settings))))
