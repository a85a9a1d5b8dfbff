"""Tests of `import_data`: real files, real processes, and a real server for every kind of fault.

Most run on a small "MNIST" of 200 and 100 made-up images, with a sample of 20 and 10, so that the
number of images tells which of the two came.
"""

import contextlib
import gzip
import hashlib
import json
import re
import shutil
import struct
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from mirror import (
    LONGEST_ANSWER_SECONDS,
    Answer,
    Mirror,
    close_halfway,
    compress_if_asked,
    crawl,
    endless_chunk_size,
    never_answer,
    never_end,
    redirect,
    send,
    send_other,
    send_together,
    speak,
    status,
    stop_halfway,
    trickle,
)
from numpy.typing import NDArray

import import_data
from import_data import DataError, as_mnist, get_data, parse_idx

FULL = (200, 100)
SAMPLE = (20, 10)
TRAIN_LABELS, TEST_LABELS, TRAIN_IMAGES, TEST_IMAGES = import_data.SHA256

Files = dict[str, bytes]
MonkeyPatch = pytest.MonkeyPatch
Capture = pytest.CaptureFixture[str]
AddMirror = Callable[..., Mirror]


def idx_file(items: NDArray[np.uint8]) -> bytes:
    """Return the IDX file of an array."""
    return struct.pack(f">4B{items.ndim}I", 0, 0, 8, items.ndim, *items.shape) + items.tobytes()


def make_files(train_count: int, test_count: int) -> Files:
    """Return files like the four of MNIST, with the label of each image in its first pixel."""
    rng = np.random.default_rng(0)
    files: Files = {}
    for split, count in (("train", train_count), ("test", test_count)):
        labels = (np.arange(count) * 7 % 10).astype(np.uint8)
        images = rng.integers(256, size=(count, 28, 28), dtype=np.uint8)
        images[:, 0, 0] = labels
        files |= dict(zip(import_data.SPLITS[split], map(idx_file, (images, labels)), strict=True))
    return {name: files[name] for name in import_data.SHA256}


def compressed(files: Files) -> Files:
    """Return the files as a mirror has them."""
    return {f"{name}.gz": gzip.compress(content, 1) for name, content in files.items()}


def write_files(folder: Path, files: Files) -> None:
    """Write the files into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)


def read_files(folder: Path) -> Files:
    """Return all that is in a folder."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def counts() -> tuple[int, int]:
    """Return how many images each split has."""
    return len(get_data("train")[0]), len(get_data("test")[0])


@pytest.fixture
def folder(monkeypatch: MonkeyPatch, tmp_path: Path) -> Path:
    """Return the folder that MNIST_DIR names; it does not exist yet."""
    monkeypatch.setenv("MNIST_DIR", str(tmp_path / "some" / "folder"))
    return tmp_path / "some" / "folder"


@pytest.fixture
def mnist(folder: Path, monkeypatch: MonkeyPatch, tmp_path: Path) -> Files:
    """Put made-up files in the place of MNIST and of the sample, and return the former."""
    files = make_files(*FULL)
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    write_files(tmp_path / "sample", compressed(make_files(*SAMPLE)))
    monkeypatch.setattr(import_data, "SHA256", hashes)
    monkeypatch.setattr(import_data, "SAMPLE_FOLDER", tmp_path / "sample")
    monkeypatch.setattr(import_data, "MIRRORS", ())
    return files


@pytest.fixture
def add_mirror(mnist: Files, monkeypatch: MonkeyPatch) -> Iterator[AddMirror]:
    """Yield a function that starts one more mirror of the made-up files, with these answers."""
    with contextlib.ExitStack() as stack:

        def add_mirror(*answers: Answer) -> Mirror:
            mirror = stack.enter_context(Mirror(compressed(mnist), *answers))
            monkeypatch.setattr(import_data, "MIRRORS", (*import_data.MIRRORS, mirror.url))
            return mirror

        yield add_mirror


def start_process(preparation: str = "") -> "subprocess.Popen[str]":
    """Start a process that gets both splits with the settings that are in force here."""
    settings = {name: getattr(import_data, name) for name in ("MIRRORS", "SHA256")}
    program = (
        "import json, os, pathlib, resource, sys, import_data\n"
        "vars(import_data).update(json.loads(sys.argv[1]))\n"
        "import_data.MIRRORS = tuple(import_data.MIRRORS)\n"
        f"{preparation}\n"
        "print(*(len(import_data.get_data(split)[0]) for split in ('train', 'test')))\n"
    )
    return subprocess.Popen(
        [sys.executable, "-c", program, json.dumps(settings)],
        cwd=Path(__file__).parent.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.unix
class TestGetData:
    @pytest.mark.parametrize(("split", "count"), [("train", 200), ("test", 100)])
    def test_images_and_labels_are_those_of_the_files(
        self, mnist: Files, folder: Path, split: str, count: int
    ) -> None:
        write_files(folder, mnist)
        images, labels = get_data(split)
        assert (images.shape, labels.shape) == ((count, 784), (count, 10))
        assert images.dtype == labels.dtype == np.float32
        content = mnist[import_data.SPLITS[split][0]]
        pixels = np.frombuffer(content, np.uint8, offset=16).reshape(count, 784)
        assert images == pytest.approx(pixels / 255, rel=1e-6)
        assert np.array_equal(labels, np.eye(10)[pixels[:, 0]])

    def test_the_default_is_train_and_anything_else_is_a_value_error(
        self, mnist: Files, folder: Path
    ) -> None:
        write_files(folder, mnist)
        assert len(get_data()[0]) == 200
        with pytest.raises(ValueError, match="split must be 'train' or 'test', not 'Train'"):
            get_data("Train")

    def test_a_download_is_kept_uncompressed_for_everybody_and_used_from_then_on(
        self, add_mirror: AddMirror, mnist: Files, folder: Path, capsys: Capture
    ) -> None:
        mirror = add_mirror(send)
        assert counts() == FULL
        assert read_files(folder) == mnist
        assert all(path.stat().st_mode & 0o444 == 0o444 for path in folder.iterdir())
        assert mirror.requested == list(compressed(mnist))
        output, progress = capsys.readouterr()
        assert output == ""
        first, *files = progress.splitlines()
        assert first == f"Downloading MNIST (12 MB) to {folder}"
        for line, (name, body) in zip(files, compressed(mnist).items(), strict=True):
            assert line == f"{name}: {len(body) / 1000:,.0f} kB"

        assert counts() == FULL
        assert len(mirror.requested) == 4
        assert capsys.readouterr() == ("", "")

    def test_files_that_a_user_put_there_are_used_compressed_or_not(
        self, add_mirror: AddMirror, mnist: Files, folder: Path, capsys: Capture
    ) -> None:
        mirror = add_mirror(send)
        both = {**mnist, **compressed(mnist)}
        mixed = {name: both[name] for name in (TRAIN_IMAGES, f"{TRAIN_LABELS}.gz", TEST_IMAGES)}
        write_files(folder, mixed)
        assert counts() == FULL
        assert mirror.requested == [f"{TEST_LABELS}.gz"]
        first, file = capsys.readouterr().err.splitlines()
        assert first == f"Downloading 1 of the 4 files of MNIST to {folder}"
        assert file.startswith(f"{TEST_LABELS}.gz: ")
        assert read_files(folder) == {**mixed, TEST_LABELS: mnist[TEST_LABELS]}

    @pytest.mark.parametrize("ending", ["", "/"])
    def test_mnist_mirror_is_tried_before_the_listed_ones(
        self, add_mirror: AddMirror, mnist: Files, monkeypatch: MonkeyPatch, ending: str
    ) -> None:
        listed, own = add_mirror(send), add_mirror(send, send, status(404))
        monkeypatch.setattr(import_data, "MIRRORS", (listed.url,))
        monkeypatch.setenv("MNIST_MIRROR", own.url.rstrip("/") + ending)
        assert counts() == FULL
        assert len(own.requested) == 3
        assert own.requested[:2] + listed.requested == list(compressed(mnist))

    @pytest.mark.parametrize(
        ("mnist_dir", "place"), [(None, "data"), ("", "data"), ("~/mnist", "home/mnist")]
    )
    def test_the_folder_is_data_beside_the_module_or_what_mnist_dir_says(
        self,
        mnist: Files,
        tmp_path: Path,
        monkeypatch: MonkeyPatch,
        mnist_dir: str | None,
        place: str,
    ) -> None:
        write_files(tmp_path / place, mnist)
        monkeypatch.setattr(import_data, "__file__", str(tmp_path / "import_data.py"))
        monkeypatch.setenv("HOME", str(tmp_path / "home"))
        monkeypatch.delenv("MNIST_DIR")
        if mnist_dir is not None:
            monkeypatch.setenv("MNIST_DIR", mnist_dir)
        assert counts() == FULL

    def test_importing_the_module_does_nothing(self, tmp_path: Path) -> None:
        program = (
            "import sys\n"
            "def report(event, arguments):\n"
            "    if event.startswith(('socket.', '_thread.', 'os.mkdir')): print(event)\n"
            "sys.addaudithook(report)\n"
            f"sys.path.append({str(Path(import_data.__file__).parent)!r})\n"
            "import import_data\n"
        )
        command = [sys.executable, "-I", "-B", "-c", program]
        assert subprocess.check_output(command, stderr=subprocess.STDOUT, cwd=tmp_path) == b""
        assert list(tmp_path.iterdir()) == []


class TestSample:
    @pytest.mark.parametrize(
        ("split", "count", "first_labels"),
        [("train", 6_000, "5041921314"), ("test", 1_000, "7210414959")],
    )
    @pytest.mark.parametrize("by_choice", [True, False])
    def test_it_is_the_first_tenth_of_mnist(
        self,
        folder: Path,
        monkeypatch: MonkeyPatch,
        capsys: Capture,
        split: str,
        count: int,
        first_labels: str,
        by_choice: bool,
    ) -> None:
        if by_choice:
            monkeypatch.setenv("MNIST_DIR", "tests/mnist_sample")
        images, labels = get_data(split)
        assert (images.shape, labels.shape) == ((count, 784), (count, 10))
        assert "".join(map(str, labels[:10].argmax(axis=1))) == first_labels
        assert images.min() == 0
        assert images.max() == 1
        assert not folder.exists()
        assert (capsys.readouterr().err == "") == by_choice

    def test_a_line_for_each_mirror_tells_the_reason_and_two_the_way_out(
        self, add_mirror: AddMirror, mnist: Files, folder: Path, capsys: Capture
    ) -> None:
        write_files(folder, {TRAIN_IMAGES: mnist[TRAIN_IMAGES]})
        first, second = add_mirror(status(403)), add_mirror(status(500))
        assert len(get_data("train")[0]) == SAMPLE[0]
        title, *tried, sample, way_out = capsys.readouterr().err.splitlines()
        assert title == f"Downloading 3 of the 4 files of MNIST to {folder}"
        assert tried == [
            f"{first.url}: HTTP status 403 for {TRAIN_LABELS}.gz",
            f"{second.url}: HTTP status 500 for {TRAIN_LABELS}.gz",
        ]
        assert "bundled sample" in sample
        assert "README" in way_out
        assert max(map(len, (sample, way_out))) < 80

    def test_for_a_minute_after_a_failed_download_it_is_not_tried_again(
        self, add_mirror: AddMirror, folder: Path, monkeypatch: MonkeyPatch, capsys: Capture
    ) -> None:
        clock = 1000.0
        monkeypatch.setattr("time.monotonic", lambda: clock)
        mirror = add_mirror(status(500), status(500), send)
        assert len(get_data("train")[0]) == SAMPLE[0]
        capsys.readouterr()
        clock += 59
        assert len(get_data("test")[0]) == SAMPLE[1]
        assert re.fullmatch("The test set .*bundled sample.*\n", capsys.readouterr().err)
        assert len(mirror.requested) == 1
        monkeypatch.setenv("MNIST_DIR", str(folder / "other"))  # for which nothing has failed yet
        assert len(get_data("test")[0]) == SAMPLE[1]
        assert len(mirror.requested) == 2
        monkeypatch.setenv("MNIST_DIR", str(folder))
        clock += 2
        assert counts() == FULL

    def test_what_has_changed_on_the_disk_since_the_last_call_is_no_error(
        self, add_mirror: AddMirror, mnist: Files, folder: Path
    ) -> None:
        mirror = add_mirror(status(500), send)
        assert len(get_data("train")[0]) == SAMPLE[0]
        write_files(folder, mnist)  # by hand, within the minute
        assert counts() == FULL
        shutil.rmtree(folder)
        import_data.failed_downloads.clear()
        assert counts() == FULL
        assert len(mirror.requested) == 5
        shutil.rmtree(folder)
        assert counts() == FULL

    @pytest.mark.parametrize(("one", "other"), [("train", "test"), ("test", "train")])
    def test_both_splits_come_from_it_if_one_does(
        self, add_mirror: AddMirror, one: str, other: str
    ) -> None:
        add_mirror(send, send, send, status(404))
        assert len(get_data(one)[0]) in SAMPLE
        assert len(get_data(other)[0]) in SAMPLE


@contextlib.contextmanager
def memory_below(limit: int) -> Iterator[None]:
    """Fail if so many bytes are in use at any time in here."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < limit
    finally:
        tracemalloc.stop()


@pytest.mark.unix
class TestMirrors:
    @pytest.mark.parametrize(
        ("fault", "reason"),
        [
            (status(404), "404"),
            (close_halfway, "more expected|that are not"),
            (send_other(b""), "it sent 0 bytes that are not t10k-labels-idx1-ubyte.gz"),
            (send_other(b"<html>Please log in</html>"), "26 bytes that are not"),
            (send_other(gzip.compress(b"another file")), "that are not"),
            (send_other(gzip.compress(bytes(90_000_000), 1)), "that are not"),  # a bomb
            (never_end(), "more than"),
            (never_end(302, Location=f"{TEST_LABELS}.gz"), "redirects"),
            (endless_chunk_size, "line|chunk"),
            (redirect(""), "redirects"),
            (redirect("http://127.0.0.1:1/"), "refused"),
            (speak(b"SSH-2.0 \x1b[2J\x07\nserver\r\n"), "SSH"),
            (speak(b""), "closed"),
        ],
    )
    def test_the_next_one_takes_over_and_the_reason_is_told_in_a_line(
        self,
        add_mirror: AddMirror,
        mnist: Files,
        folder: Path,
        capsys: Capture,
        monkeypatch: MonkeyPatch,
        fault: Answer,
        reason: str,
    ) -> None:
        monkeypatch.setattr(import_data, "LARGEST_FILE", 1_000_000)
        bad, good = add_mirror(send, fault), add_mirror(send)
        with memory_below(15_000_000):
            assert counts() == FULL
        assert len(good.requested) == 3
        assert read_files(folder) == mnist
        progress = capsys.readouterr().err
        assert re.search(rf"^{bad.url}: .*({reason}).*$", progress, re.M)
        assert progress.replace("\n", "").isprintable()

    @pytest.mark.parametrize(
        ("fault", "reason"),
        [
            (never_answer, "no answer"),
            (stop_halfway, ".*timed out.*"),
            (crawl, r"too slow: [\d,]+ kB in \d+ seconds"),
        ],
    )
    def test_a_slow_one_is_given_up_and_ends_soon_and_the_reason_is_told_in_a_line(
        self,
        add_mirror: AddMirror,
        capsys: Capture,
        monkeypatch: MonkeyPatch,
        fault: Answer,
        reason: str,
    ) -> None:
        monkeypatch.setattr(import_data, "PATIENCE_SECONDS", 2)
        monkeypatch.setattr(import_data, "READ_SECONDS", 2)
        if fault is stop_halfway:  # as if it had sent a lot, and quickly, until it stopped
            monkeypatch.setattr(import_data, "SLOWEST_BYTES_PER_SECOND", 1)
        slow, other = add_mirror(send, send, fault), add_mirror(status(404))
        with memory_below(10_000_000):
            assert counts() == SAMPLE
        assert re.search(rf"^{slow.url}: ({reason})$", capsys.readouterr().err, re.M)
        assert len(other.requested) == 1
        for thread in threading.enumerate():
            if isinstance(thread, import_data.Transfer):
                thread.join(LONGEST_ANSWER_SECONDS / 2)  # the server would go on for longer
                assert not thread.is_alive()

    def test_the_mirrors_share_the_time_so_that_the_prompt_is_there_within_15_seconds(
        self, add_mirror: AddMirror, monkeypatch: MonkeyPatch
    ) -> None:
        for _ in range(4):
            add_mirror(send)
        shares = []

        def gives_up(url: str, patience: float) -> bytes:
            shares.append(patience)
            raise import_data.DownloadError("no answer")

        monkeypatch.setattr(import_data, "download", gives_up)
        assert counts() == SAMPLE
        assert len(shares) == 4
        assert sum(shares) < 13

    def test_an_interrupted_download_ends_its_thread(
        self, add_mirror: AddMirror, monkeypatch: MonkeyPatch
    ) -> None:
        def interrupt(*_: object, **__: object) -> None:
            if any(isinstance(thread, import_data.Transfer) for thread in threading.enumerate()):
                raise KeyboardInterrupt

        add_mirror(crawl)
        monkeypatch.setattr(import_data, "print_progress", interrupt)
        with pytest.raises(KeyboardInterrupt):
            get_data()
        (thread,) = (t for t in threading.enumerate() if isinstance(t, import_data.Transfer))
        thread.join(LONGEST_ANSWER_SECONDS / 2)
        assert not thread.is_alive()

    def test_one_that_was_given_up_does_not_keep_the_program_from_ending(
        self, add_mirror: AddMirror
    ) -> None:
        # The thread would wait for as long as the server, which ends when the test does.
        add_mirror(never_answer)
        slow = "import_data.Transfer.run = lambda _: __import__('time').sleep(1000)"
        with start_process(f"import_data.PATIENCE_SECONDS = 0.2\n{slow}") as process:
            assert process.communicate()[0] == "6000 1000\n"

    def test_a_download_that_goes_on_may_take_longer(
        self, add_mirror: AddMirror, monkeypatch: MonkeyPatch
    ) -> None:
        monkeypatch.setattr(import_data, "PATIENCE_SECONDS", 0.5)
        monkeypatch.setattr(import_data, "SLOWEST_BYTES_PER_SECOND", 100)
        add_mirror(trickle(20_000, 0.2), send)  # 160 kB in 8 pieces: three periods
        assert counts() == FULL

    def test_a_redirect_is_followed(self, add_mirror: AddMirror, monkeypatch: MonkeyPatch) -> None:
        target = add_mirror(send)
        origin = add_mirror(redirect(target.url))
        monkeypatch.setattr(import_data, "MIRRORS", (origin.url,))
        assert counts() == FULL
        assert len(origin.requested) == len(target.requested) == 4

    def test_no_server_is_asked_to_compress_the_files_again(self, add_mirror: AddMirror) -> None:
        add_mirror(compress_if_asked)
        assert counts() == FULL

    def test_mnist_mirror_must_be_a_url(self, mnist: Files, monkeypatch: MonkeyPatch) -> None:
        monkeypatch.setenv("MNIST_MIRROR", "localhost:8765")
        with pytest.raises(DataError, match="MNIST_MIRROR must begin with http:// or https://"):
            get_data()


@pytest.mark.unix
class TestFolder:
    @pytest.mark.parametrize("alone", [True, False])
    @pytest.mark.parametrize("name", [TRAIN_IMAGES, f"{TRAIN_LABELS}.gz"])
    @pytest.mark.parametrize(
        "damage",
        [
            lambda _: b"",
            lambda content: content[:-20],
            lambda content: content[:-20] + b"\x55" + content[-19:],
            lambda _: b"<html>Please log in</html>",
            lambda _: idx_file(np.ones((200, 28, 28), np.uint8)),  # of another data set
        ],
    )
    def test_a_file_of_another_content_is_named_and_left_alone(
        self,
        add_mirror: AddMirror,
        mnist: Files,
        folder: Path,
        name: str,
        damage: Callable[[bytes], bytes],
        alone: bool,
    ) -> None:
        mirror = add_mirror(send)
        content = damage({**mnist, **compressed(mnist)}[name])
        others = {} if alone else {x: mnist[x] for x in mnist if not name.startswith(x)}
        write_files(folder, {**others, name: content})
        with pytest.raises(DataError) as caught:
            get_data()
        assert str(caught.value).startswith(f"{folder / name} is not MNIST's: remove it, or ")
        assert "MNIST_DIR" in str(caught.value)
        assert "\n" not in str(caught.value)
        assert (folder / name).read_bytes() == content
        assert mirror.requested == []

    def test_a_home_of_nobody_is_told_in_a_line(self, monkeypatch: MonkeyPatch) -> None:
        monkeypatch.setenv("MNIST_DIR", "~nobody-of-this-name/mnist")
        with pytest.raises(DataError, match=r"^The folder ~nobody.* cannot be used .*MNIST_DIR"):
            get_data()

    @pytest.mark.parametrize("below", ["", "below"])
    def test_a_file_in_its_place_is_named(
        self,
        add_mirror: AddMirror,
        tmp_path: Path,
        monkeypatch: MonkeyPatch,
        below: str,
    ) -> None:
        add_mirror(send)
        (tmp_path / "file").write_text("mine")
        monkeypatch.setenv("MNIST_DIR", str(tmp_path / "file" / below))
        with pytest.raises(DataError, match=rf"{tmp_path}/file.*Not a dir.*MNIST_DIR") as caught:
            get_data()
        assert "\n" not in str(caught.value)
        assert (tmp_path / "file").read_text() == "mine"

    def test_a_full_disk_is_told_in_a_line_and_leaves_nothing_half_written(
        self, add_mirror: AddMirror, folder: Path
    ) -> None:
        add_mirror(send)
        with start_process("resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))") as process:
            output, errors = process.communicate()
        assert output == ""
        *_, last = errors.splitlines()
        assert re.fullmatch(rf"import_data.DataError: .*{folder} .*too large.* MNIST_DIR .*", last)
        assert list(folder.iterdir()) == []

    def test_two_first_starts_at_the_same_time_do_no_harm(
        self, add_mirror: AddMirror, mnist: Files, folder: Path
    ) -> None:
        add_mirror(send_together(2))  # each file goes out when both have asked for it
        with start_process() as one, start_process() as other:
            assert [process.communicate()[0] for process in (one, other)] == ["200 100\n"] * 2
        assert read_files(folder) == mnist

    @pytest.mark.parametrize("method", ["write_bytes", "replace"])
    def test_a_start_that_is_killed_while_it_writes_leaves_no_file_that_is_not_complete(
        self, add_mirror: AddMirror, mnist: Files, folder: Path, method: str
    ) -> None:
        add_mirror(send)
        killed = (
            "def killed(path, *_):\n"
            "    with path.open('wb') as file: file.write(b'half')\n"
            "    os.kill(os.getpid(), 9)\n"
            f"pathlib.Path.{method} = killed\n"
        )
        with start_process(killed) as process:
            process.communicate()
        assert process.returncode == -9
        assert not (folder / TRAIN_IMAGES).exists()
        assert counts() == FULL
        assert {path.name for path in folder.iterdir() if path.is_file()} == set(mnist)


class TestAsMnist:
    def test_a_digit_of_mnist_comes_back_from_wherever_it_was_drawn_in_whatever_size(
        self, sample: tuple[NDArray[np.float32], ...]
    ) -> None:
        rng = np.random.default_rng(0)
        for image in sample[2][:200]:
            factor = int(rng.integers(4, 11))
            digit = np.kron(image.reshape(28, 28), np.ones((factor, factor)))
            rows, columns = np.flatnonzero(digit.any(axis=1)), np.flatnonzero(digit.any(axis=0))
            digit = digit[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
            picture = np.zeros((300, 280))
            top, left = rng.integers(np.subtract(picture.shape, digit.shape) + 1)
            picture[top : top + digit.shape[0], left : left + digit.shape[1]] = digit
            assert as_mnist(picture) == pytest.approx(image, abs=1e-6)

    def test_every_pixel_is_the_mean_of_what_it_covers(self) -> None:
        picture = np.zeros((40, 50))
        picture[5:35, 10:40] = np.arange(30)[:, None] / 60 + np.arange(30) / 60  # 1.5 to a pixel
        image = as_mnist(picture).reshape(28, 28)
        ink = image[image.any(axis=1)][:, image.any(axis=0)]
        assert ink.shape == (20, 20)
        assert ink[0, 0] == pytest.approx((0 + 2 * 0.5 * 1 / 60 + 0.25 * 2 / 60) / 2.25)
        assert ink.mean() == pytest.approx(picture[5:35, 10:40].mean())

    def test_proportions_are_kept(self) -> None:
        image = as_mnist(np.ones((100, 30))).reshape(28, 28)
        assert image.any(axis=1).sum() == 20
        assert image.any(axis=0).sum() == 6
        assert image.sum() == pytest.approx(20 * 6)
        assert as_mnist(np.ones((1, 100))).sum() == pytest.approx(20)  # not less than a pixel

    def test_no_ink_is_pushed_out_of_the_frame_by_the_centre_of_mass(self) -> None:
        picture = np.zeros((200, 200))
        picture[:100, :100] = 1  # the centre of mass is in this blob,
        picture[190:, 190:] = 1  # so that this dot would not fit
        image = as_mnist(picture).reshape(28, 28)
        assert image.sum() == pytest.approx(picture.sum() / 100)
        assert image[27, 27] == 1
        assert as_mnist(picture[::-1, ::-1]).reshape(28, 28)[0, 0] == 1

    @given(npst.arrays(float, npst.array_shapes(min_dims=2, max_dims=2), elements=st.floats(0, 1)))
    def test_any_picture_with_ink_becomes_an_image(self, picture: NDArray[np.float64]) -> None:
        picture.flat[0] = 1
        image = as_mnist(picture)
        assert image.shape == (784,)
        assert image.dtype == np.float32
        assert 0 <= image.min() < image.max() <= 1

    @pytest.mark.parametrize(
        ("picture", "message"),
        [
            (np.ones(784), "picture must have two dimensions, not 1"),
            (np.ones((28, 28, 3)), "picture must have two dimensions, not 3"),
            (np.zeros((28, 28)), "picture must have some ink: a pixel above 0"),
            (np.zeros((0, 28)), "picture must have some ink: a pixel above 0"),
            ([[0, 255]], "picture must be from 0 to 1, not from 0 to 255"),
            ([[0.5, -0.1]], "picture must be from 0 to 1, not from -0.1 to 0.5"),
            ([[0.5, np.nan]], "picture must be from 0 to 1, not from nan to nan"),
        ],
    )
    def test_says_what_a_picture_must_be(self, picture: Any, message: str) -> None:
        with pytest.raises(ValueError, match=f"^{message}$"):
            as_mnist(picture)


class TestParseIdx:
    @given(npst.arrays(np.uint8, npst.array_shapes(max_dims=4, min_side=0)))
    def test_any_array_comes_back_from_its_file(self, items: NDArray[np.uint8]) -> None:
        found = parse_idx(idx_file(items))
        assert found.dtype == np.uint8
        assert found.shape == items.shape
        assert np.array_equal(found, items)

    @given(st.data())
    def test_what_is_not_a_complete_file_of_unsigned_bytes_is_a_value_error(
        self, data: st.DataObject
    ) -> None:
        good = idx_file(np.zeros((2, 3), np.uint8))
        content = data.draw(
            st.one_of(
                st.integers(0, len(good) - 1).map(lambda end: good[:end]),  # cut off
                st.binary(min_size=1).map(lambda more: good + more),
                st.binary().map(lambda other: b"\1" + other),
                st.integers(0, 255)
                .filter(lambda code: code != 8)
                .map(lambda code: good[:2] + bytes([code]) + good[3:]),
            )
        )
        with pytest.raises(ValueError, match=r"IDX|header"):
            parse_idx(content)
