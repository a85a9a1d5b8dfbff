"""Tests of the pictures in the terminal: in 256 colors, and in plain ASCII everywhere else."""

import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from program import PROMPT, QUICK, ask, in_terminal, quit_program
from terminal import Terminal

import neural_network
from neural_network import Array, Network, show_node, show_prediction

Sample = tuple[Array, Array, Array, Array]
ASCII = " .:-=+*#%@"
ORANGE, RED = "ffaf00", "ff0000"


def read_bars(rows: Sequence[str], block: str) -> list[tuple[float, str, int]]:
    """Return each digit's output, the mark behind it and the length of its bar."""
    bars = []
    for digit, row in enumerate(rows[2:12]):
        found = re.fullmatch(rf"   {digit} ([01]\.\d\d)([ <]?)({block}*)", row[28:])
        assert found
        bars.append((float(found[1]), found[2].strip(), len(found[3])))
    assert rows[1][28:] == "   Output"
    assert all(len(row) <= 28 for row in (rows[0], *rows[12:14]))
    return bars


def read_ascii(rows: Sequence[str]) -> Array:
    """Return the picture of 14 x 28 pixels that rows of characters show."""
    return np.array([[ASCII.index(c) / 9 for c in row[:28].ljust(28)] for row in rows[:14]])


def network_with_outputs(wanted: Sequence[float]) -> Network:
    """Return a network with these outputs for a blank image."""
    biases = np.log(np.divide(wanted, np.subtract(1, wanted)))
    return Network(np.zeros((784, 1)), np.zeros((1, 10)), np.zeros(1), biases)


def test_a_prediction_shows_the_image_and_the_ten_outputs_in_60_columns(
    sample: Sample, trained: Network, capsys: pytest.CaptureFixture[str]
) -> None:
    image, label = sample[2][5], sample[3][5]
    show_prediction(image, trained, label)
    *rows, answer = capsys.readouterr().out.splitlines()
    drawn = image.reshape(14, 2, 28).mean(axis=1)
    assert np.abs(read_ascii(rows) - drawn).max() <= 0.501 / 9
    outputs = neural_network.forward_propagation(image, *trained)[1]
    for output, (shown, mark, length) in zip(outputs, read_bars(rows, "#"), strict=True):
        assert shown == pytest.approx(output, abs=0.0051)
        assert length == pytest.approx(20 * output, abs=0.501)
        assert mark == ""
    assert answer == "Prediction: 1, label: 1, correct"
    assert max(map(len, rows)) <= 60


@pytest.mark.parametrize(
    ("highest", "label", "answer"),
    [
        (0.51, 9, "Prediction: 9, label: 9, correct"),
        (0.51, 3, "Prediction: 9, label: 3  <-- WRONG"),
        (0.49, 3, "Prediction: 9 (unsure), label: 3  <-- WRONG"),
        (0.49, None, "Prediction: 9 (unsure)"),
        (0.51, None, "Prediction: 9"),
    ],
)
def test_a_prediction_is_unsure_below_one_half_and_the_missed_label_is_marked(
    highest: float, label: int | None, answer: str, capsys: pytest.CaptureFixture[str]
) -> None:
    network = network_with_outputs([0.1] * 9 + [highest])
    show_prediction(np.zeros(784), network, None if label is None else np.eye(10)[label])
    *rows, last = capsys.readouterr().out.splitlines()
    assert last == answer
    marked = [digit for digit, (_, mark, _) in enumerate(read_bars(rows, "#")) if mark == "<"]
    assert marked == ([3] if label == 3 else [])


# Hidden nodes


def by_hand(outgoing: Sequence[float], sign: float = 1) -> Network:
    """Return a network with a hidden node that ink in two squares turns up and down."""
    incoming = np.full((28, 28), 0.01)
    incoming[4:8, 3:6] = 2
    incoming[20:24, 20:25] = -2
    incoming[12:14, 10] = 0.8  # must look like 0
    incoming[0, 0] = -200  # one far larger weight does not make the others look like 0
    return Network(sign * incoming.reshape(784, 1), np.array([outgoing]), np.zeros(1), np.zeros(10))


def shown(network: Network, images: Array, labels: Array, capsys: Any) -> list[str]:
    """Return the lines that show the only hidden node of a network."""
    show_node([0], 0, network, (images, labels))
    lines: list[str] = capsys.readouterr().out.splitlines()
    return lines


@pytest.fixture
def squares() -> tuple[Array, Array]:
    """Return images of a 1, a 7, a 7 and a 1; ink in the upper square fits `by_hand` best."""
    images = np.zeros((4, 28, 28))
    images[0, 4:8, 3:6] = 1
    images[1, 4:6, 3:6] = 1
    images[2, 4:7, 3:6] = 1
    images[3, 20:24, 20:25] = 1
    return images.reshape(4, 784), np.eye(10)[[1, 7, 7, 1]]


def test_a_hidden_node_is_shown_beside_its_best_image_and_described(
    squares: tuple[Array, Array], capsys: pytest.CaptureFixture[str]
) -> None:
    outgoing = [-0.9, -1.1, -1.5, 0, 0.1, 0.9, 1.1, 2, 1.5, 0.25]
    title, *rows, left, speaks, right = shown(by_hand(outgoing), *squares, capsys)
    assert title == "Hidden node 0, rank 1 of 1 by strength:"
    wanted = np.full((14, 28), " ")
    wanted[2:4, 3:6] = "+"
    wanted[10:12, 20:25] = "-"
    assert [row[:28].ljust(28) for row in rows] == ["".join(row) for row in wanted]
    beside = read_ascii([row[31:] for row in rows])
    best = squares[0][2]  # of the two images of a 7
    assert np.abs(beside - best.reshape(14, 2, 28).mean(axis=1)).max() <= 0.501 / 9
    assert left == "Left: ink on + turns this node up, ink on - down."
    assert speaks == "Turned up, it speaks for 7 8 6 and against 2 1."
    assert right == "Right: the 7 that turns it up most, test image 2."


def test_a_node_whose_strongest_weight_is_negative_is_shown_negated(
    squares: tuple[Array, Array], capsys: pytest.CaptureFixture[str]
) -> None:
    outgoing = [-0.9, -1.1, -1.5, 0, 0.1, 0.9, 1.1, 2, 1.5, 0.25]
    negated = by_hand([-weight for weight in outgoing], sign=-1)
    expected = shown(by_hand(outgoing), *squares, capsys)
    assert shown(negated, *squares, capsys) == expected


def test_all_nodes_of_a_small_network_are_described_correctly_in_60_columns(
    sample: Sample, capsys: pytest.CaptureFixture[str]
) -> None:
    images, labels = sample[2:]
    for hidden_nodes, epochs in ((30, 1), (1, 1), (9, 0)):
        network = neural_network.train(
            *sample[:2], hidden_nodes=hidden_nodes, epochs=epochs, seed=0
        )
        ranked = neural_network.rank_nodes(network)
        for rank, node in enumerate(ranked):
            show_node(ranked, rank, network, (images, labels))
            title, *rows, _, speaks, right = capsys.readouterr().out.splitlines()
            assert title == f"Hidden node {node}, rank {rank + 1} of {len(ranked)} by strength:"
            assert max(map(len, (title, *rows, speaks, right))) <= 60
            assert len(rows) == 14
            incoming = network.weights_input_to_hidden[:, node]
            outgoing = network.weights_hidden_to_output[node]
            sign = np.sign(outgoing[np.abs(outgoing).argmax()])
            groups = [[int(d) for d in re.findall(r"\d", part)] for part in speaks.split("against")]
            pro, con = groups if len(groups) == 2 else (*groups, [])
            limit = np.abs(outgoing).max() / 2
            assert {*pro} == {d for d in range(10) if sign * outgoing[d] > limit}
            assert {*con} == {d for d in range(10) if -sign * outgoing[d] > limit}
            digit, best = map(int, re.findall(r"\d+", right))
            assert digit == pro[0] == (sign * outgoing).argmax() == labels[best].argmax()
            fits = sign * images[labels[:, digit] == 1] @ incoming
            assert sign * images[best] @ incoming == pytest.approx(fits.max(), abs=1e-4)


# Colors


@pytest.fixture(scope="module")
def started() -> Iterator[Terminal]:
    """Start the program in a terminal of 256 colors and 60 columns, ready to be asked."""
    with in_terminal(*QUICK, columns=60, TERM="xterm-256color") as terminal:
        terminal.wait_for(PROMPT)
        yield terminal
        quit_program(terminal)


def read_colors(terminal: Terminal, below: int, left: int = 0) -> Array:
    """Return the colors of the picture of 28 x 28 pixels that ends above a row of the screen."""
    colors = np.empty((28, 28, 3))
    for row in range(14):
        for column in range(28):
            cell = terminal.screen.buffer[below - 14 + row][left + column]
            assert cell.data == "▀"
            for half, color in enumerate((cell.fg, cell.bg)):
                colors[2 * row + half, column] = [*bytes.fromhex(color)]  # "default" is no color
    return colors


def grays(image: Array) -> Array:
    """Return the 24 grays of the palette, 8, 18, ... 238, for an image."""
    return np.repeat((8 + 10 * np.rint(23 * image)).reshape(28, 28, 1), 3, axis=2)


@pytest.mark.unix
def test_an_image_is_shown_in_grays_and_its_highest_output_in_orange(
    started: Terminal, sample: Sample
) -> None:
    title, *rows, answer = ask(started, "t 5")
    assert title == "Test image 5:"
    below = len(started.rows()) - 2
    assert np.abs(read_colors(started, below) - grays(sample[2][5])).max() <= 10  # half a gray
    prediction = int(answer.removeprefix("Prediction: ")[0])
    for digit, (output, _, length) in enumerate(read_bars(rows, "█")):
        assert length == pytest.approx(20 * output, abs=0.7)
        cells = [started.screen.buffer[below - 12 + digit][38 + x] for x in range(length)]
        assert {cell.fg for cell in cells} <= {ORANGE if digit == prediction else "default"}


@pytest.mark.unix
def test_a_mistake_is_marked_in_red(started: Terminal) -> None:
    length = 0
    while not length:  # the label may have no bar
        _, *rows, answer = ask(started, "w")
        label = int(re.findall(r"label: (\d)", answer)[0])
        length = read_bars(rows, "█")[label][2]
    below = len(started.rows()) - 2
    row = started.screen.buffer[below - 12 + label]
    assert row[37].data == "<"
    assert {row[x].fg for x in range(38, 58) if row[x].data == "█"} == {RED}
    wrong = started.rows()[below].index("<-- WRONG")
    assert started.screen.buffer[below][wrong].fg == RED
    assert started.screen.buffer[below][0].fg == "default"


@pytest.mark.unix
def test_a_hidden_node_is_shown_in_orange_blue_and_black_beside_a_gray_image(
    started: Terminal, sample: Sample
) -> None:
    network = neural_network.train(*sample[:2], hidden_nodes=16, epochs=1, seed=0)
    *_, left, _, right = ask(started, "n 3")
    assert left == "Left: ink on orange turns this node up, ink on blue down."
    below = len(started.rows()) - 4
    weights = read_colors(started, below)
    outgoing = network.weights_hidden_to_output[3]
    incoming = network.weights_input_to_hidden[:, 3].reshape(28, 28)
    incoming *= np.sign(outgoing[np.abs(outgoing).argmax()])
    limit = np.percentile(np.abs(incoming), 98)
    assert (weights[incoming > limit] == [255, 215, 0]).all()
    assert (weights[incoming < -limit] == [0, 175, 255]).all()
    assert (weights[np.abs(incoming) < 0.1 * limit] == 0).all()
    best = sample[2][int(re.findall(r"test image (\d+)", right)[0])]
    assert np.abs(read_colors(started, below, left=31) - grays(best)).max() <= 10


@pytest.mark.unix
@pytest.mark.parametrize(
    ("variables", "has_colors"),
    [
        ({"TERM": "xterm", "COLORTERM": "truecolor"}, True),
        ({"TERM": "xterm", "WT_SESSION": "1"}, True),
        ({"TERM": "xterm"}, False),
        ({"TERM": "xterm-256color", "NO_COLOR": "1"}, False),
        ({"TERM": "dumb", "COLORTERM": "truecolor"}, False),
        ({"TERM": "xterm-256color", "PYTHONIOENCODING": "ascii"}, False),
    ],
)
def test_a_terminal_has_256_colors_or_plain_ascii(
    sample: Sample, variables: dict[str, Any], has_colors: bool
) -> None:
    with in_terminal(*QUICK, columns=60, **variables) as terminal:
        terminal.wait_for(PROMPT)
        _, *rows, _ = ask(terminal, "t 7")
        if has_colors:
            below = len(terminal.rows()) - 2
            assert np.abs(read_colors(terminal, below) - grays(sample[2][7])).max() <= 10
        else:
            drawn = sample[2][7].reshape(14, 2, 28).mean(axis=1)
            assert np.abs(read_ascii(rows) - drawn).max() <= 0.501 / 9
            ask(terminal, "n")
            ask(terminal, "w")
            assert terminal.output.isascii()
            assert "\x1b[38" not in terminal.output
            if variables["TERM"] == "dumb":
                assert re.sub("\r?\n", "", terminal.output).isprintable()
        assert max(map(len, re.split("[\r\n]+", re.sub("\x1b.*?m", "", terminal.output)))) <= 60
        quit_program(terminal)
