"""Tests of the program from its start to its prompt, and of how it ends."""

import gzip
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from mirror import Mirror, send, stop_halfway
from program import PROGRAM, PROJECT, PROMPT, QUICK, Outcome, environment, in_terminal, run
from terminal import Terminal

import import_data
import neural_network
from neural_network import EPOCHS, HIDDEN_NODES, LEARNING_RATE, SAMPLE_NOTICE

pytestmark = pytest.mark.unix

ENDLESS = ("--epochs", "10000", "--hidden-nodes", "16")
ROW = re.compile(
    r" *(?P<epoch>\d+)/(?P<epochs>\d+) +(?P<images>[\d,]+)"
    r"  (?P<error>\d\.\d{4}) +(?P<accuracy>\d+\.\d\d)% +(?P<seconds>\d+\.\d) s"
)


@pytest.fixture(scope="module")
def session() -> Outcome:
    """Train with the default settings, and quit."""
    return run("q\n")


def test_in_a_pipe_there_are_only_plain_lines_of_60_columns(session: Outcome) -> None:
    assert (session.status, session.errors) == (0, "")
    assert session.output.replace("\n", "").isprintable()
    assert session.output.isascii()
    assert max(map(len, session.output.splitlines())) <= 60


def test_each_epoch_has_a_row_with_its_error_and_accuracy(session: Outcome) -> None:
    title, columns, *lines = session.output.splitlines()
    assert title == f"Training: 784 pixels, {HIDDEN_NODES} hidden nodes, 10 outputs"
    assert columns == "Epoch  Images used   Error  Training accuracy  Elapsed"
    epochs = [epoch for epoch in map(ROW.fullmatch, lines) if epoch]
    assert [int(epoch["epoch"]) for epoch in epochs] == list(range(1, EPOCHS + 1))
    assert {int(epoch["epochs"]) for epoch in epochs} == {EPOCHS}
    images = [int(epoch["images"].replace(",", "")) for epoch in epochs]
    assert images[0] == 6000 > max(images[1:])
    first, last = epochs[0], epochs[-1]
    assert float(first["error"]) > 4 * float(last["error"]) > 0
    assert float(first["accuracy"]) < 90 < 96 < float(last["accuracy"]) < 100
    seconds = [float(epoch["seconds"]) for epoch in epochs]
    assert seconds == sorted(seconds)


def test_a_row_has_the_error_and_the_accuracy_of_all_images(
    capsys: pytest.CaptureFixture[str],
) -> None:
    labels = np.eye(10)[[3, 5]]
    outputs = np.zeros((2, 10))
    outputs[0, 3], outputs[1, 4] = 1, 0.5
    neural_network.training_table(labels, 10)(3, 1234, 1234, outputs)
    row = ROW.fullmatch(capsys.readouterr().out.splitlines()[-1])
    assert row
    assert row.group("epoch", "epochs", "images") == ("3", "10", "1,234")
    assert float(row["error"]) == pytest.approx((1 + 0.25) / 20, abs=0.00005)
    assert row["accuracy"] == "50.00"


def test_the_accuracy_the_sample_notice_and_a_hint_precede_the_prompt(
    session: Outcome,
) -> None:
    *_, accuracy, _, _, _, hint, _ = session.output.splitlines()
    found = re.fullmatch(r"Test accuracy: (\d\d\.\d\d)% \((\d+) of 1,000 misclassified\)", accuracy)
    assert found
    assert float(found[1]) == pytest.approx(100 - int(found[2]) / 10, abs=0.005)
    assert float(found[1]) > 94
    assert hint == "Try w for a mistake, n for a hidden node, d to draw a digit."
    assert session.output.endswith(f"{SAMPLE_NOTICE}\n{hint}\n{PROMPT}")


def test_without_epochs_there_is_no_table() -> None:
    lines = run("q\n", "--epochs", "0").output.splitlines()
    assert lines[0].startswith("Training: ")
    assert lines[1].startswith("Test accuracy: ")


@pytest.mark.parametrize(
    ("before_waiting", "lines"),
    [("", 2), ("settings['report'](1, 6000, 6000, labels)", 3)],
    ids=["header", "row"],
)
def test_each_line_of_progress_arrives_in_a_pipe_at_once(before_waiting: str, lines: int) -> None:
    waiting = (
        "import sys, neural_network\n"
        "def train(images, labels, **settings):\n"
        f"    {before_waiting}\n"
        "    sys.stdin.read()\n"
        "neural_network.train = train\n"
        "neural_network.main()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", waiting],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment(),
        cwd=PROJECT,
    ) as program:
        assert program.stdout
        assert all(program.stdout.readline() for _ in range(lines))  # or the test would hang
        program.kill()


def test_all_of_mnist(full_mnist: Path) -> None:
    outcome = run("59999\nt 9999\n60000\nt 10000\nq\n", MNIST_DIR=str(full_mnist))
    assert (outcome.status, outcome.errors) == (0, "")
    training, last, last_test, *refused, _ = outcome.output.split("Enter an index (0 - 59999)")
    assert re.search(r"^ 1/10 +60,000 ", training, re.M)
    accuracy = re.search(r"^Test accuracy: (.*)%", training, re.M)
    assert accuracy
    assert float(accuracy[1]) >= 98.5
    assert SAMPLE_NOTICE not in training
    assert "label: 8" in last
    assert "label: 6" in last_test
    assert all("Type 0-59999, t 0-9999" in answer for answer in refused)


def test_help_explains_the_options() -> None:
    outcome = run("", "--help")
    words = " ".join(outcome.output.split())
    assert outcome.status == 0
    for default in (EPOCHS, HIDDEN_NODES, LEARNING_RATE, 0):
        assert f"(default: {default})" in words
    for name in ("--epochs", "--hidden-nodes", "--learning-rate", "--seed", "MNIST_DIR"):
        assert name in words


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--epochs", "-1", "--epochs must be from 0 to 10000, not -1"),
        ("--epochs", "10,000", "argument --epochs: invalid int value: '10,000'"),
        ("--hidden-nodes", "0", "--hidden-nodes must be from 1 to 10000, not 0"),
        ("--learning-rate", "nan", "--learning-rate must be from 0.0001 to 100, not nan"),
        ("--learning-rate", "0", "--learning-rate must be from 0.0001 to 100, not 0.0"),
        ("--seed", "-1", "--seed must be from 0 to 4294967296, not -1"),
    ],
)
def test_an_invalid_option_is_reported_in_one_line_before_anything_is_loaded(
    option: str,
    value: str,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("sys.argv", ["neural_network.py", option, value])
    monkeypatch.setattr(neural_network, "load_mnist", None)
    with pytest.raises(SystemExit, match="2"):
        neural_network.main()
    output, errors = capsys.readouterr()
    assert output == ""
    assert errors.splitlines()[-1].endswith(f": error: {message}")


def test_the_options_are_the_settings_of_the_training(monkeypatch: pytest.MonkeyPatch) -> None:
    options = "--epochs 3 --hidden-nodes 5 --learning-rate 0.25 --seed 7"
    monkeypatch.setattr("sys.argv", ["neural_network.py", *options.split()])
    assert vars(neural_network.parse_arguments()) == {
        "epochs": 3,
        "hidden_nodes": 5,
        "learning_rate": 0.25,
        "seed": 7,
    }


def test_the_same_seed_gives_the_same_session_and_a_different_one_does_not() -> None:
    outputs = [
        re.sub(r"\d+\.\d s\n", "", run("7\nw\nq\n", *QUICK, *options).output)
        for options in ((), ("--seed", "0"), ("--seed", "1"))
    ]
    assert outputs[0] == outputs[1] != outputs[2]


@pytest.mark.parametrize(
    ("command", "settings", "threads"),
    [
        (PROGRAM, {}, "1 1"),
        (PROGRAM, {"OMP_NUM_THREADS": "2", "VECLIB_MAXIMUM_THREADS": "3"}, "2 3"),
        ((sys.executable, "-c", "import neural_network"), {}, "None None"),
    ],
    ids=["program", "user's own", "module"],
)
def test_only_the_program_asks_for_one_thread_before_numpy_is_imported(
    tmp_path: Path, command: tuple[str, ...], settings: dict[str, str], threads: str
) -> None:
    (tmp_path / "numpy.py").write_text(
        "import os\n"
        "print(os.environ.get('OMP_NUM_THREADS'), os.environ.get('VECLIB_MAXIMUM_THREADS'))\n"
        "raise SystemExit\n"
    )
    inherited = environment(PYTHONPATH=str(tmp_path))
    variables = {name: value for name, value in inherited.items() if "THREADS" not in name}
    output = subprocess.check_output(command, env=variables | settings, cwd=PROJECT, text=True)
    assert output == f"{threads}\n"


def test_importing_the_module_prints_nothing() -> None:
    command = (sys.executable, "-W", "error", "-c", "import neural_network")
    assert run("", command=command) == (0, "", "")


def test_help_on_a_function_begins_with_a_short_signature() -> None:
    command = (sys.executable, "-c", "import neural_network as nn; help(nn.train)")
    first, _, signature = run("", command=command).output.partition("\n\n")
    assert first == "Help on function train in module neural_network:"
    assert re.match(r"train\(\s*images: '?ArrayLike'?,\s*labels: '?ArrayLike'?,", signature)


# Live lines


def test_a_first_run_downloads_both_splits(full_mnist: Path, tmp_path: Path) -> None:
    files = {}
    for name in import_data.SHA256:
        path = import_data.find_file(full_mnist, name)
        assert path
        files[f"{name}.gz"] = gzip.compress(import_data.read_file(path, name), 1)
    with (
        Mirror(files, send) as mirror,
        in_terminal(
            *QUICK, columns=120, MNIST_DIR=str(tmp_path), MNIST_MIRROR=mirror.url
        ) as terminal,
    ):
        terminal.wait_for("q to quit: ")
        rows = terminal.rows()
        start = rows.index("Training: 784 pixels, 16 hidden nodes, 10 outputs")
        announced = ["Downloading missing MNIST files to", str(tmp_path), "Trying MNIST_MIRROR"]
        assert [row for row in rows[:start] if not row.startswith("  ")] == 2 * announced
        received, total = re.findall(r"\d+\.\d\d", rows[3])
        assert rows[3] == f"  train-images-idx3-ubyte: {received} of {total} MB"
        assert received == total


def test_a_download_has_one_live_line_of_at_most_60_columns(tmp_path: Path) -> None:
    with (
        Mirror({"train-images-idx3-ubyte.gz": bytes(20_000_000)}, stop_halfway) as mirror,
        in_terminal(columns=60, MNIST_DIR=str(tmp_path), MNIST_MIRROR=mirror.url) as terminal,
    ):
        for _ in range(3):
            terminal.wait_for("  train-images-idx3-ubyte: 10.00 of 20.00 MB")
        assert sum("MB" in row for row in terminal.rows()) == 1


def test_offline_the_sample_is_used_and_the_mirrors_tried_are_listed(
    tmp_path: Path,
) -> None:
    with in_terminal(*QUICK, MNIST_DIR=str(tmp_path), MNIST_MIRROR="http://[::1]:1/") as terminal:
        terminal.wait_for(PROMPT)
        lines = terminal.output.replace("\r\n", "\n").splitlines()
        hosts = ["MNIST_MIRROR", *(mirror.split("/")[2] for mirror in import_data.MIRRORS)]
        start = lines.index("Trying MNIST_MIRROR")
        assert lines[start : start + 8 : 2] == [f"Trying {host}" for host in hosts]
        assert all(re.match("  .*refused|  .*assign", line) for line in lines[start + 1 : 9 : 2])
        *_, hint, _ = terminal.rows()
        assert hint.startswith("Try w for a mistake")
        assert SAMPLE_NOTICE in "\n".join(terminal.rows())


def test_the_row_of_an_epoch_is_replaced_while_it_grows() -> None:
    with in_terminal() as terminal:
        terminal.wait_for(PROMPT)
        lines = re.split("[\r\n]+", terminal.output)
        live = [line for line in lines if re.fullmatch(rf" *1/{EPOCHS} +\d+%", line)]
        assert live == sorted(live)
        assert len(live) > 5
        rows = [line for line in lines if ROW.fullmatch(line)]
        assert [row for row in terminal.rows() if ROW.fullmatch(row)] == rows
        assert len(rows) == EPOCHS


# Interruptions and faults


def check_interrupted(terminal: Terminal) -> None:
    """Press Ctrl-C; check that the program ends at once, in few words, and on a new line."""
    before = terminal.output
    terminal.press("\x03")
    assert terminal.finish() == 130
    for line in re.split("[\r\n]+", terminal.output.removeprefix(before).replace("^C", "")):
        # Progress may be printed until the program notices the interruption.
        assert re.fullmatch(r"[\d/,.% ]*s? *|.*MB", line)
    assert terminal.screen.cursor.x == 0


def test_an_interruption_of_a_download_ends_the_program_and_leaves_nothing(tmp_path: Path) -> None:
    with (
        Mirror({"train-images-idx3-ubyte.gz": bytes(2_000_000)}, stop_halfway) as mirror,
        in_terminal(MNIST_DIR=str(tmp_path), MNIST_MIRROR=mirror.url) as terminal,
    ):
        terminal.wait_for("1.00 of 2.00 MB")
        check_interrupted(terminal)
    assert list(tmp_path.iterdir()) == []


def test_an_interruption_of_the_training_ends_the_program() -> None:
    with in_terminal(*ENDLESS) as terminal:
        terminal.wait_for("    2/10000  ")
        check_interrupted(terminal)


def test_an_interruption_at_the_prompt_ends_the_program() -> None:
    with in_terminal(*QUICK) as terminal:
        terminal.wait_for(PROMPT)
        # CPython loses a signal that arrives just as `input` begins to wait.
        terminal.press("42")
        terminal.wait_for("42")
        check_interrupted(terminal)


@pytest.mark.parametrize("place", ["", "train-labels-idx1-ubyte"])
def test_damaged_data_are_reported_in_one_line_and_not_replaced_by_the_sample(
    tmp_path: Path, place: str
) -> None:
    # Offline, the program would use the sample if a file were only missing.
    wrong = tmp_path / "folder" / place
    wrong.parent.mkdir(exist_ok=True)
    wrong.write_text("mine")
    outcome = run("q\n", MNIST_DIR=str(tmp_path / "folder"))
    assert (outcome.status, outcome.output) == (1, "")
    assert "Traceback" not in outcome.errors
    assert str(wrong) in outcome.errors.splitlines()[-1]
    assert wrong.read_text() == "mine"


def test_without_requests_the_program_ends_with_pythons_own_message(tmp_path: Path) -> None:
    (tmp_path / "requests.py").write_text("raise ModuleNotFoundError('no requests here')")
    outcome = run("q\n", PYTHONPATH=str(tmp_path), MNIST_DIR=str(tmp_path / "data"))
    assert (outcome.status, outcome.output) == (1, "")
    assert outcome.errors.splitlines()[-1] == "ModuleNotFoundError: no requests here"


def test_streams_that_only_claim_to_be_terminals_get_plain_lines(tmp_path: Path) -> None:
    # As in IDLE
    claiming = (
        "import io, sys\n"
        "class Claiming(io.StringIO):\n"
        "    encoding = 'utf-8'\n"
        "    isatty = lambda self: True\n"
        "sys.stdin, sys.stdout, sys.stderr = Claiming('7\\nq\\n'), Claiming(), Claiming()\n"
        "import neural_network\n"
        f"sys.argv[1:] = {[*QUICK]}\n"
        "neural_network.main()\n"
        "print(sys.stdout.getvalue(), file=sys.__stdout__)\n"
        "print(sys.stderr.getvalue(), file=sys.__stderr__)\n"
    )
    command = (sys.executable, "-c", claiming)
    outcome = run(command=command, TERM="xterm-256color", MNIST_DIR=str(tmp_path))
    assert outcome.status == 0
    assert "Prediction: " in outcome.output
    assert "Trying " in outcome.errors
    assert (outcome.output + outcome.errors).replace("\n", "").isprintable()  # no \r, no colors
