"""Measure the tables of README.md.

    python tests/benchmark.py comparison        compare with PyTorch, scikit-learn and the original
    python tests/benchmark.py techniques        leave out each technique in turn
    python tests/benchmark.py exercises         solve the exercises
    python tests/benchmark.py pictures FOLDER   classify pictures with names like photo-17-is-5.jpg

All of MNIST is needed; the comparison also needs tests/requirements-peers.txt. Each run is a
separate process. Accuracies are means, with the worst run in parentheses. Times are medians, with
the ratio to the first row in parentheses: the median of the ratios of consecutive runs.
"""

import json
import os
import re
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import neural_network
from import_data import as_mnist, find_ink, get_data
from neural_network import Network, predict, train

SEEDS = range(10)
Figures = dict[str, float]  # the results of one run
Table = Mapping[str, list[Figures]]  # the runs of each row

# The changes that leave out each technique, and the settings of `train`. Each learning rate is the
# one of those tried that gives the highest accuracy on the held-out set.
WITHOUT: dict[str, tuple[dict[str, Any], dict[str, float]]] = {
    "all six techniques": ({}, {}),
    "INITIAL_BIAS": ({"INITIAL_BIAS": 0}, {"learning_rate": 0.7}),
    "learning_rates": (
        {"learning_rates": lambda first, epochs: [first] * epochs},
        {"learning_rate": 0.35},
    ),
    "select_unlearned": ({"TOLERANCE": 0}, {"learning_rate": 0.9}),
    "select_unlearned, 3 epochs": ({"TOLERANCE": 0}, {"epochs": 3}),
    "BATCH_SIZE": ({"BATCH_SIZE": 1}, {"learning_rate": 0.02}),
    "shift_randomly": ({"shift_randomly": lambda images, _: images}, {}),
    "standardize": ({"PIXEL_MEAN": 0, "PIXEL_STD": 1}, {"learning_rate": 3}),
}
SQUARED = (
    "delta_output = output_layer_output - label",
    "delta_output = 2 * (output_layer_output - label)"
    " * output_layer_output * (1 - output_layer_output)",
)
DELTA_HIDDEN = "    delta_hidden = (delta_output @ weights_hidden_to_output.T) * slope_hidden\n"
BIASES_OUTPUT = "    biases_output -= rate_per_image * delta_output.sum(axis=0)\n"
# What each exercise replaces in neural_network.py, and its settings of `train`
EXERCISES: dict[str, tuple[list[tuple[str, str]], dict[str, Any]]] = {
    "1 hidden node": ([], {"hidden_nodes": 1}),
    "10 hidden nodes": ([], {"hidden_nodes": 10}),
    "800 hidden nodes, 30 epochs": ([], {"hidden_nodes": 800, "epochs": 30}),
    "no activation function": (
        [
            (
                "= sigmoid(img @ weights_input_to_hidden + biases_hidden)",
                "= img @ weights_input_to_hidden + biases_hidden",
            ),
            ("slope_hidden = hidden_layer_output * (1 - hidden_layer_output)", "slope_hidden = 1"),
        ],
        {"learning_rate": 0.01},
    ),
    "equal weights": (
        [
            ("rng.standard_normal((784, hidden_nodes)", "np.ones((784, hidden_nodes)"),
            ("rng.standard_normal((hidden_nodes, 10)", "np.ones((hidden_nodes, 10)"),
        ],
        {},
    ),
    "squared error": ([SQUARED], {}),
    "squared error, rate 4": ([SQUARED], {"learning_rate": 4}),
    "weights first": ([(DELTA_HIDDEN, ""), (BIASES_OUTPUT, BIASES_OUTPUT + DELTA_HIDDEN)], {}),
    "1,000 images": ([], {"images": 1_000}),
    "5,000 images": ([], {"images": 5_000}),
}


def comparison() -> Table:
    """Compare the program with its peers, on one thread or two, whichever is faster."""
    rows = defaultdict(list)
    for seed in SEEDS:
        rows["this program"].append(work(ours, seed=seed) | run_program(f"--seed {seed}"))
        for threads in (1, 2):
            run = work(ours_in_pytorch, threads, seed=seed)
            rows[f"ours in pytorch, {threads} thread(s)"].append(run)
        for peer in (pytorch, scikit_learn, original_script):
            runs = [work(peer, threads, seed=seed) for threads in (1, 2)]
            fastest = min(runs, key=lambda figures: figures["training"])
            rows[peer.__name__.replace("_", " ")].append(fastest)
    return rows


def techniques() -> Table:
    """Leave out each technique in turn; the accuracy is that on the held-out set."""
    rows = defaultdict(list)
    for seed in SEEDS:
        for technique in WITHOUT:
            rows[technique].append(work(without, technique=technique, seed=seed))
    return rows


def exercises() -> Table:
    """Solve each exercise once, with seed 0."""
    return {name: [work(exercise, name=name)] for name in EXERCISES}


def pictures(folder: str) -> Table:
    """Classify the pictures of digits in a folder, a row for each kind; a refusal is wrong."""
    from PIL import Image

    names = {
        path: re.fullmatch(r"(.+)-.+-is-(\d)\..+", path.name) for path in Path(folder).glob("*")
    }
    if not any(names.values()):
        sys.exit(f"{folder} contains no picture whose name is like photo-17-is-5.jpg")
    network = train(*get_data("train"), seed=0)
    correct = defaultdict(list)
    for path, name in sorted(names.items()):
        if name:
            try:
                image = as_mnist(find_ink(np.asarray(Image.open(path).convert("RGBA"))))
                answer = predict(image, *network) == int(name[2])
            except ValueError:  # nothing stands out
                answer = False
            correct[name[1]].append(answer)
            correct["all"].append(answer)
    return {
        f"{kind} ({len(answers)})": [{"accuracy": float(np.mean(answers))}]
        for kind, answers in sorted(correct.items())
    }


# Workers, each run in a process of its own


def without(technique: str, seed: int) -> Figures:
    """Train on 50,000 training images without a technique, and classify the other 10,000."""
    images, labels = get_data("train")
    changes, settings = WITHOUT[technique]
    for name, value in changes.items():
        setattr(neural_network, name, value)
    started = time.perf_counter()
    network = train(images[:50_000], labels[:50_000], seed=seed, **settings)  # type: ignore[arg-type]
    seconds = time.perf_counter() - started
    digits = predict(images[50_000:], *network)
    accuracy = np.mean(digits == labels[50_000:].argmax(axis=1))
    return {"accuracy": float(accuracy), "training": seconds}


def exercise(name: str) -> Figures:
    """Train with a changed copy of the module, and classify the test images."""
    replacements, settings = EXERCISES[name]
    source = Path(neural_network.__file__).read_text("utf-8")
    for text, replacement in replacements:
        assert source.count(text) == 1, text
        source = source.replace(text, replacement)
    exec(compile(source, "copy.py", "exec"), vars(neural_network))
    count = settings.pop("images", None)

    def train_copy(images: Any, labels: Any) -> Network:
        return neural_network.train(images[:count], labels[:count], seed=0, **settings)

    return timed(train_copy, lambda images, network: neural_network.predict(images, *network))


def ours(seed: int) -> Figures:
    """Train as the program does."""
    return timed(lambda images, labels: train(images, labels, seed=seed), classify_by_network)


def ours_in_pytorch(seed: int) -> Figures:
    """Train as the program does, with PyTorch for both passes and the step."""
    import torch

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

    vars(neural_network).update(forward_propagation=forward, backpropagation=backward)
    return ours(seed)


def pytorch(seed: int) -> Figures:
    """Train as users of PyTorch would, at the best rate of those tried."""
    from torch import from_numpy, manual_seed, nn, optim, randperm

    manual_seed(seed)
    network = nn.Sequential(nn.Linear(784, 512), nn.ReLU(), nn.Dropout(0.2), nn.Linear(512, 10))

    def train_in_pytorch(images: Any, labels: Any) -> Any:
        images, digits = from_numpy(images), from_numpy(labels).argmax(1)
        optimizer = optim.Adam(network.parameters())
        schedule = optim.lr_scheduler.OneCycleLR(optimizer, 0.005, 10 * 469)
        for _ in range(10):
            for batch in randperm(len(images)).split(128):
                optimizer.zero_grad()
                nn.functional.cross_entropy(network(images[batch]), digits[batch]).backward()
                optimizer.step()
                schedule.step()
        return network.eval()

    return timed(train_in_pytorch, lambda images, network: network(from_numpy(images)).argmax(1))


def scikit_learn(seed: int) -> Figures:
    """Train scikit-learn's network with its defaults, until it stops by itself."""
    from sklearn.neural_network import MLPClassifier

    classifier = MLPClassifier(random_state=seed)
    return timed(
        lambda images, labels: classifier.fit(images, labels.argmax(axis=1)),
        lambda images, network: network.predict(images),
    )


def original_script(seed: int) -> Figures:
    """Train as the original script does: one image at a time, 784-20-10, rate 0.01, 3 epochs."""

    def train_by_script(images: Any, labels: Any) -> Network:
        rng = np.random.default_rng(seed)
        weights_hidden = rng.uniform(-0.5, 0.5, (20, 784))
        weights_output = rng.uniform(-0.5, 0.5, (10, 20))
        biases_hidden, biases_output = np.zeros((20, 1)), np.zeros((10, 1))
        for _ in range(3):
            correct = 0
            for image, label in zip(images[:, :, None], labels[:, :, None], strict=True):
                hidden = 1 / (1 + np.exp(-(biases_hidden + weights_hidden @ image)))
                output = 1 / (1 + np.exp(-(biases_output + weights_output @ hidden)))
                np.sum((output - label) ** 2) / len(output)  # computed there, too, so it is timed
                correct += int(np.argmax(output) == np.argmax(label))
                delta_output = output - label
                weights_output += -0.01 * delta_output @ hidden.T
                biases_output += -0.01 * delta_output
                delta_hidden = weights_output.T @ delta_output * (hidden * (1 - hidden))
                weights_hidden += -0.01 * delta_hidden @ image.T
                biases_hidden += -0.01 * delta_hidden
        return Network(weights_hidden.T, weights_output.T, biases_hidden[:, 0], biases_output[:, 0])

    return timed(train_by_script, classify_by_network)


def classify_by_network(images: Any, network: Network) -> Any:
    """Classify images by a network with weights and biases like ours."""
    return predict(images, *network)


def timed(train: Callable[[Any, Any], Any], classify: Callable[[Any, Any], Any]) -> Figures:
    """Time the training on all training images, and classify the test images."""
    images, labels = get_data("train")
    started = time.perf_counter()
    network = train(images, labels)
    seconds = time.perf_counter() - started
    test_images, test_labels = get_data("test")
    digits = np.asarray(classify(test_images, network))
    accuracy = np.mean(digits == test_labels.argmax(axis=1))
    return {"accuracy": float(accuracy), "training": seconds}


# Running them


def work(worker: Callable[..., Figures], threads: int = 1, **settings: Any) -> Figures:
    """Call one of the functions above in a process of its own."""
    arguments = worker.__name__, json.dumps(settings)
    output, figures = run_python(__file__, *arguments, OMP_NUM_THREADS=str(threads))
    return {**figures, **json.loads(output)}


def run_program(options: str) -> Figures:
    """Run the program from its start to its prompt."""
    output, figures = run_python(neural_network.__file__, *options.split())
    accuracy = re.findall("Test accuracy: (.*?)%", output)[0]
    return figures | {"accuracy": float(accuracy) / 100}


def run_python(*arguments: str, **environment: str) -> tuple[str, Figures]:
    """Announce a run of Python on stderr, and return its output and its time."""
    print(*arguments, environment or "", file=sys.stderr)
    started = time.perf_counter()
    output = subprocess.check_output(
        [sys.executable, *arguments], env=os.environ | environment, input="q\n", text=True
    )
    return output, {"start to finish": time.perf_counter() - started}


def print_table(rows: Table) -> None:
    """Print a table in Markdown."""
    baseline = next(iter(rows.values()))
    columns = [name for name in ("accuracy", "training", "start to finish") if name in baseline[0]]
    print("|", *columns, "", sep=" | ")
    print("|---" * (len(columns) + 1) + "|")
    for row, runs in rows.items():
        print(f"| {row}", *(cell(runs, baseline, column) for column in columns), "", sep=" | ")


def cell(runs: list[Figures], baseline: list[Figures], column: str) -> str:
    """Return what the runs of a row have measured."""
    figures = [run[column] for run in runs]
    if column == "accuracy":
        return f"{np.mean(figures):.2%} ({min(figures):.2%})"
    ratios = np.divide(figures, [run[column] for run in baseline])
    return f"{np.median(figures):#.3g} s ({np.median(ratios):#.3g})"


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["comparison" | "techniques" | "exercises" as table]:
            print_table(globals()[table]())
        case ["pictures", folder]:
            print_table(pictures(folder))
        case [worker, settings]:
            print(json.dumps(globals()[worker](**json.loads(settings))))
        case _:
            sys.exit(__doc__)
