"""Tests of `import_data`: real files, real processes, and a real server for every fault.

Most of them run on a small "MNIST" of 200 and 100 made-up images, with a sample of 20 and 10, so
that the number of images tells which of the two came.
"""

import contextlib
import errno
import functools
import gzip
import hashlib
import io
import json
import os
import re
import socket
import ssl
import struct
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import trustme
from faulty_server import (
    Answer,
    FaultyServer,
    close_halfway,
    never_answer,
    never_end,
    pause_halfway,
    redirect,
    reset_halfway,
    send,
    send_together,
    speak,
    stop_halfway,
    trickle,
)
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from numpy.typing import NDArray

import import_data
from import_data import CacheError, get_data, parse_idx, parse_mnist

ROOT = Path(import_data.__file__).parent
FULL = (200, 100)
SAMPLE = (20, 10)
TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS = import_data.SHA256
BOMB = bytes(50_000_000)  # 50 kB when packed
CHUNKED = {"Transfer-Encoding": "chunked"}
IS_ROOT = hasattr(os, "geteuid") and os.geteuid() == 0

Files = dict[str, bytes]
MonkeyPatch = pytest.MonkeyPatch
Capture = pytest.CaptureFixture[str]
AddMirror = Callable[..., FaultyServer]


def idx_file(items: NDArray[np.uint8]) -> bytes:
    """Return the IDX file of an array."""
    return struct.pack(f">4B{items.ndim}I", 0, 0, 8, items.ndim, *items.shape) + items.tobytes()


def idx_header(*sizes: int, type_code: int = 8) -> bytes:
    """Return the header of an IDX file with these dimensions."""
    return struct.pack(f">4B{len(sizes)}I", 0, 0, type_code, len(sizes), *sizes)


def make_files(train_count: int, test_count: int) -> Files:
    """Return files like MNIST's four, with the label of each image in its first pixel."""
    random = np.random.default_rng(0)
    contents = []
    for count in (train_count, test_count):
        labels = (np.arange(count) * 7 % 10).astype(np.uint8)
        images = random.integers(4, size=(count, 28, 28), dtype=np.uint8) * np.uint8(85)
        images[:, 0, 0] = labels
        contents += [idx_file(images), idx_file(labels)]
    return dict(zip(import_data.SHA256, contents, strict=True))


@functools.cache
def gzipped(content: bytes) -> bytes:
    """Pack a file, quickly, and only once for all tests."""
    return gzip.compress(content, compresslevel=1, mtime=0)


def pack(contents: Files) -> Files:
    """Return the files that a mirror has."""
    return {f"{name}.gz": gzipped(content) for name, content in contents.items()}


def flip_bit(content: bytes, index: int) -> bytes:
    """Change one bit of the byte at this index."""
    changed = bytearray(content)
    changed[index] ^= 4
    return bytes(changed)


def hashes(contents: Files) -> dict[str, str]:
    """Return the SHA-256 of each file."""
    return {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}


def write_files(folder: Path, contents: Files) -> None:
    """Write the files into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        (folder / name).write_bytes(content)


def read_files(folder: Path) -> Files:
    """Return all that is in a folder."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def counts() -> tuple[int, int]:
    """Get both splits and return how many images each has."""
    return len(get_data("train")[0]), len(get_data("test")[0])


@pytest.fixture
def mnist(folder: Path, monkeypatch: MonkeyPatch, tmp_path: Path) -> Files:
    """Put made-up files in the place of MNIST's and of the sample's; return the former."""
    contents = make_files(*FULL)
    sample = make_files(*SAMPLE)
    write_files(tmp_path / "sample", pack(sample))
    monkeypatch.setattr(import_data, "SHA256", hashes(contents))
    monkeypatch.setattr(
        import_data, "SIZES", {name: len(content) for name, content in contents.items()}
    )
    monkeypatch.setattr(import_data, "SAMPLE_FOLDER", tmp_path / "sample")
    monkeypatch.setattr(import_data, "SAMPLE_SHA256", hashes(sample))
    return contents


@pytest.fixture
def folder(monkeypatch: MonkeyPatch, tmp_path: Path) -> Path:
    """Let MNIST_DIR name a folder, and return it; it does not exist yet."""
    folder = tmp_path / "some" / "cache"
    monkeypatch.setenv("MNIST_DIR", str(folder))
    return folder


@pytest.fixture
def add_mirror(mnist: Files, monkeypatch: MonkeyPatch) -> Iterator[AddMirror]:
    """Yield a function that starts one more mirror of the made-up files, with these answers."""
    with contextlib.ExitStack() as mirrors:

        def add_mirror(*answers: Answer, tls: ssl.SSLContext | None = None) -> FaultyServer:
            mirror = mirrors.enter_context(FaultyServer(pack(mnist), *answers, tls=tls))
            monkeypatch.setattr(import_data, "MIRRORS", (*import_data.MIRRORS, mirror.url))
            return mirror

        yield add_mirror


@pytest.fixture
def dead_mirror(folder: Path, monkeypatch: MonkeyPatch) -> Iterator[str]:
    """Yield the address of a mirror that refuses every connection, as the only one."""
    with socket.socket() as bound_but_not_listening:
        bound_but_not_listening.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{bound_but_not_listening.getsockname()[1]}/"
        monkeypatch.setattr(import_data, "MIRRORS", (url,))
        yield url


@pytest.fixture
def _little_patience(monkeypatch: MonkeyPatch) -> None:
    """Wait a second altogether, where a user would wait for many."""
    monkeypatch.setattr(import_data, "PATIENCE_SECONDS", 1.0)


class Terminal(io.StringIO):
    """A stream that takes itself for a terminal."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True

    def lines(self) -> list[str]:
        """Return the lines that were drawn over each other."""
        return self.getvalue().split("\r")


@pytest.fixture
def terminal(monkeypatch: MonkeyPatch) -> Terminal:
    """Return a terminal of 80 columns."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    return Terminal()


def plain_environment() -> dict[str, str]:
    """Return the environment without what makes coverage.py measure a child process.

    It opens and writes files in the child, at times when nothing else does.
    """
    return {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}


def start_program(preparation: str = "") -> "subprocess.Popen[str]":
    """Start a process that gets both splits with the settings that are in force here."""
    settings = {
        name: getattr(import_data, name)
        for name in ("MIRRORS", "SIZES", "SHA256", "PATIENCE_SECONDS", "ABANDONED_SECONDS")
    }
    program = (
        "import json, pathlib, resource, sys, time, import_data\n"
        "vars(import_data).update(json.loads(sys.argv[1]))\n"
        f"{preparation}\n"
        "print(*(len(import_data.get_data(split)[0]) for split in ('train', 'test')))\n"
    )
    return subprocess.Popen(
        [sys.executable, "-c", program, json.dumps(settings)],
        cwd=ROOT,
        env=plain_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait for another thread or process, ten seconds at most."""
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


@contextlib.contextmanager
def memory_below(limit: int) -> Iterator[None]:
    """Fail if so many bytes are in use at any time in here."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < limit
    finally:
        tracemalloc.stop()


class TestGetData:
    """What `get_data` returns, and where it looks."""

    @pytest.mark.parametrize(("split", "count"), [("train", 200), ("test", 100)])
    def test_images_and_labels_are_those_of_the_files(
        self, mnist: Files, folder: Path, split: str, count: int
    ) -> None:
        write_files(folder, mnist)

        images, labels = get_data(split)

        assert images.shape == (count, 784)
        assert labels.shape == (count, 10)
        assert images.dtype == labels.dtype == np.float32
        images_file, _ = import_data.SPLITS[split]
        pixels = np.frombuffer(mnist[images_file], np.uint8)[-count * 784 :].reshape(count, 784)
        np.testing.assert_allclose(images, pixels / 255, rtol=1e-6)
        assert images.min() == 0.0
        assert images.max() == 1.0
        assert set(np.unique(labels)) == {0.0, 1.0}
        np.testing.assert_array_equal(labels.sum(axis=1), 1)
        np.testing.assert_array_equal(labels.argmax(axis=1), pixels[:, 0])

    def test_the_default_split_is_train(self, mnist: Files, folder: Path) -> None:
        write_files(folder, mnist)
        assert len(get_data()[0]) == 200

    @pytest.mark.parametrize("split", ["validation", "Train", "", None])
    def test_another_split_is_a_value_error_that_names_it(
        self, mnist: Files, folder: Path, split: str
    ) -> None:
        write_files(folder, mnist)
        with pytest.raises(ValueError, match=rf"{split!r}.*'train'.*'test'"):
            get_data(split)

    def test_the_arrays_may_be_changed_without_harm_to_the_next_call(
        self, mnist: Files, folder: Path
    ) -> None:
        write_files(folder, mnist)
        images, labels = get_data()
        before = images.copy(), labels.copy()
        images[:] = labels[:] = 0.5

        images, labels = get_data()

        np.testing.assert_array_equal(images, before[0])
        np.testing.assert_array_equal(labels, before[1])

    @pytest.mark.parametrize(("first", "second"), [("train", "test"), ("test", "train")])
    def test_the_second_split_is_mnist_if_the_first_was(
        self, add_mirror: AddMirror, folder: Path, first: str, second: str
    ) -> None:
        mirror = add_mirror(*[send()] * 4, send(status=404))
        assert len(get_data(first)[0]) in FULL
        for path in folder.iterdir():
            path.unlink()

        assert len(get_data(second)[0]) in FULL
        assert len(mirror.requested) == 4

    @pytest.mark.parametrize(("first", "second"), [("train", "test"), ("test", "train")])
    def test_the_second_split_is_the_sample_if_the_first_was(
        self, add_mirror: AddMirror, first: str, second: str
    ) -> None:
        add_mirror(send(status=404), send())
        assert len(get_data(first)[0]) in SAMPLE
        assert len(get_data(second)[0]) in SAMPLE

    def test_what_another_folder_holds_is_not_mixed_in(
        self, mnist: Files, folder: Path, tmp_path: Path, monkeypatch: MonkeyPatch
    ) -> None:
        write_files(folder, mnist)
        get_data("train")
        monkeypatch.setenv("MNIST_DIR", str(tmp_path / "empty"))
        assert len(get_data("test")[0]) == SAMPLE[1]

    def test_a_download_is_cached_unpacked_and_used_without_a_network(
        self, add_mirror: AddMirror, mnist: Files, folder: Path, capfd: Capture
    ) -> None:
        mirror = add_mirror(send())

        assert counts() == FULL
        assert read_files(folder) == mnist
        assert sorted(mirror.requested) == sorted(pack(mnist))

        assert counts() == FULL
        assert len(mirror.requested) == 4
        assert capfd.readouterr() == ("", "")

    def test_nothing_waits_in_memory_once_both_splits_are_handed_out(
        self, mnist: Files, folder: Path
    ) -> None:
        write_files(folder, mnist)
        counts()
        assert import_data._waiting == {}

    def test_a_full_cache_needs_no_mirror(self, mnist: Files, folder: Path) -> None:
        write_files(folder, mnist)
        assert counts() == FULL

    def test_packed_files_are_read_in_place(
        self, add_mirror: AddMirror, mnist: Files, folder: Path
    ) -> None:
        mirror = add_mirror(send())
        write_files(folder, pack(mnist))

        assert counts() == FULL
        assert read_files(folder) == pack(mnist)
        assert mirror.requested == []

    def test_only_what_is_missing_is_downloaded(
        self, add_mirror: AddMirror, mnist: Files, folder: Path
    ) -> None:
        mirror = add_mirror(send())
        write_files(folder, mnist)
        (folder / TEST_LABELS).unlink()

        assert counts() == FULL
        assert mirror.requested == [f"{TEST_LABELS}.gz"]
        assert read_files(folder) == mnist

    @pytest.mark.parametrize("value", [None, ""])
    def test_without_mnist_dir_the_folder_is_data_beside_the_module(
        self,
        add_mirror: AddMirror,
        mnist: Files,
        tmp_path: Path,
        monkeypatch: MonkeyPatch,
        value: str | None,
    ) -> None:
        add_mirror(send())
        monkeypatch.setattr(import_data, "__file__", str(tmp_path / "import_data.py"))
        monkeypatch.delenv("MNIST_DIR")
        if value is not None:
            monkeypatch.setenv("MNIST_DIR", value)

        assert counts() == FULL
        assert read_files(tmp_path / "data") == mnist

    @pytest.mark.parametrize("ending", ["", "/"])
    def test_mnist_mirror_is_tried_first(
        self, add_mirror: AddMirror, monkeypatch: MonkeyPatch, ending: str
    ) -> None:
        listed = add_mirror(send())
        named = add_mirror(send())
        monkeypatch.setattr(import_data, "MIRRORS", (listed.url,))
        monkeypatch.setenv("MNIST_MIRROR", named.url.rstrip("/") + ending)

        assert counts() == FULL
        assert len(named.requested) == 4
        assert listed.requested == []

    def test_the_listed_mirrors_are_tried_after_mnist_mirror(
        self, add_mirror: AddMirror, monkeypatch: MonkeyPatch
    ) -> None:
        listed = add_mirror(send())
        named = add_mirror(send(status=404))
        monkeypatch.setattr(import_data, "MIRRORS", (listed.url,))
        monkeypatch.setenv("MNIST_MIRROR", named.url)

        assert counts() == FULL
        assert len(named.requested) == 1
        assert len(listed.requested) == 4

    def test_an_empty_mnist_mirror_counts_as_unset(
        self, add_mirror: AddMirror, monkeypatch: MonkeyPatch, capsys: Capture
    ) -> None:
        mirror = add_mirror(send(status=404))
        monkeypatch.setenv("MNIST_MIRROR", "")

        assert counts() == SAMPLE
        assert re.findall(r"^  (.*?): ", capsys.readouterr().err, re.MULTILINE) == [mirror.url]

    def test_importing_the_module_does_nothing(self, tmp_path: Path) -> None:
        program = (
            "import sys\n"
            "def report(event, arguments):\n"
            "    if event.startswith(('socket.', '_thread.', 'os.mkdir')): print(event)\n"
            "sys.addaudithook(report)\n"
            "import import_data\n"
        )
        environment = plain_environment()
        environment |= {"PYTHONPATH": str(ROOT), "MNIST_DIR": str(tmp_path / "cache")}

        finished = subprocess.run(
            [sys.executable, "-c", program],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )

        assert (finished.stdout, finished.stderr) == ("", "")
        assert list(tmp_path.iterdir()) == []


class TestBundledSample:
    """The sample as it really is, and what `get_data` does when nothing else is left."""

    @pytest.mark.parametrize(
        ("split", "count", "first_labels"),
        [("train", 6_000, "5041921314"), ("test", 1_000, "7210414959")],
    )
    def test_it_is_the_first_tenth_of_mnist(
        self, dead_mirror: str, folder: Path, split: str, count: int, first_labels: str
    ) -> None:
        images, labels = get_data(split)

        assert images.shape == (count, 784)
        assert labels.shape == (count, 10)
        assert images.dtype == labels.dtype == np.float32
        assert "".join(map(str, labels[:10].argmax(axis=1))) == first_labels
        assert images.min() == 0.0
        assert images.max() == 1.0
        assert not folder.exists()

    def test_the_note_names_each_mirror_and_why_and_what_follows(
        self, add_mirror: AddMirror, dead_mirror: str, folder: Path, capsys: Capture
    ) -> None:
        mirror = add_mirror(send(status=404))

        assert counts() == SAMPLE

        output, note = capsys.readouterr()
        first, refused, missing, *rest = note.splitlines()
        assert output == ""
        assert "no mirror delivered" in first
        assert refused.startswith(f"  {dead_mirror}: ")
        assert "refused" in refused
        assert missing.startswith(f"  {mirror.url}: 404 ")
        assert "bundled sample" in rest[0]
        assert str(folder) in rest[1]
        assert len(rest) == 2

    @pytest.mark.parametrize("damage", ["missing", "cut off", "flipped"])
    def test_a_damaged_sample_is_an_error_that_says_so(self, mnist: Files, damage: str) -> None:
        path = import_data.SAMPLE_FOLDER / f"{TEST_LABELS}.gz"
        content = path.read_bytes()
        path.write_bytes(content[:-4] if damage == "cut off" else flip_bit(content, -1))
        if damage == "missing":
            path.unlink()

        with pytest.raises(CacheError, match=r"sample.*damaged") as caught:
            get_data()
        assert str(import_data.SAMPLE_FOLDER) in str(caught.value)


# How a mirror fails: what it does, how many requests it gets for that, and what the note says.
FAULTS = [
    pytest.param(send(status=403), 1, "403", id="forbidden"),
    pytest.param(send(status=404), 1, "404", id="not found"),
    pytest.param(send(status=500), 1, "500", id="internal error"),
    pytest.param(redirect("http://mirror.invalid/"), 1, "known|resol", id="redirect to nowhere"),
    pytest.param(close_halfway, 1, "expected", id="closes in the middle"),
    pytest.param(reset_halfway, 1, "reset", id="resets in the middle"),
    pytest.param(
        send(bytes, 200, {"Content-Length": "99999"}), 1, "expected", id="sends too little"
    ),
    pytest.param(send(bytes, 200, {"Content-Length": "99"}), 1, "damaged", id="says too little"),
    pytest.param(send(lambda _: b""), 1, "else", id="sends nothing"),
    pytest.param(send(lambda packed: packed[:-9]), 1, "damaged", id="cut-off gzip"),
    pytest.param(send(lambda packed: flip_bit(packed, 50)), 1, "damaged", id="flipped bit"),
    pytest.param(
        send(lambda _: b"<html>Please log in</html>", 200, {"Content-Type": "text/html"}),
        1,
        "log-in page",
        id="captive portal",
    ),
    pytest.param(send(lambda _: gzip.compress(b"Hello")), 1, "else", id="another gzip"),
    pytest.param(
        send(lambda packed: gzipped(gzip.decompress(packed) + b"\0")),
        1,
        "else",
        id="file with one byte more",
    ),
    pytest.param(
        send(lambda packed: gzipped(flip_bit(gzip.decompress(packed), -1))),
        1,
        "else",
        id="file with another pixel",
    ),
    pytest.param(never_end(), 1, "more than", id="endless body"),
    pytest.param(speak(b"SSH-2.0-Server\r\n"), 1, "SSH", id="not HTTP"),
    pytest.param(speak(b""), 1, "closed", id="closes at once"),
]
SLOW_FAULTS = [
    pytest.param(never_answer, id="never answers"),
    pytest.param(stop_halfway, id="stops halfway"),
    pytest.param(trickle(1, 0.02), id="a byte now and then"),
    pytest.param(trickle(1, 0.02, CHUNKED), id="a chunk of a byte now and then"),
    pytest.param(send(status=503, headers={"Retry-After": "3600"}), id="asks for an hour"),
]


class TestMirrors:
    """What the servers may do to `_download` and `_receive`."""

    @pytest.mark.parametrize(("fault", "requests", "cause"), FAULTS)
    def test_a_failed_mirror_is_named_with_its_cause_and_the_next_one_delivers(
        self,
        add_mirror: AddMirror,
        mnist: Files,
        folder: Path,
        capsys: Capture,
        fault: Answer,
        requests: int,
        cause: str,
    ) -> None:
        bad = add_mirror(fault)
        assert counts() == SAMPLE
        assert len(bad.requested) == requests
        assert not folder.exists()
        note = capsys.readouterr().err
        assert len(note.splitlines()) == 4, "one of them for the mirror"
        assert re.search(rf"^  {re.escape(bad.url)}: .*({cause})", note, re.MULTILINE), note

        good = add_mirror(send())
        assert counts() == FULL
        assert len(bad.requested) == 2 * requests
        assert len(good.requested) == 4
        assert read_files(folder) == mnist
        assert capsys.readouterr().err == ""

    @pytest.mark.usefixtures("_little_patience")
    @pytest.mark.parametrize("fault", SLOW_FAULTS)
    def test_a_slow_mirror_is_given_up(
        self, add_mirror: AddMirror, capsys: Capture, fault: Answer
    ) -> None:
        bad, good = add_mirror(fault), add_mirror(send(), send(status=404))

        started = time.monotonic()
        assert counts() == SAMPLE
        assert time.monotonic() - started < 3

        assert len(bad.requested) == 1
        assert len(good.requested) == 2
        note = capsys.readouterr().err
        reasons = "no answer|stopped sending|timed out|503"
        assert re.search(rf"^  {re.escape(bad.url)}: .*({reasons})", note, re.MULTILINE), note

    @pytest.mark.usefixtures("_little_patience")
    def test_several_mirrors_that_never_answer_share_the_patience(
        self, add_mirror: AddMirror
    ) -> None:
        mirrors = [add_mirror(never_answer) for _ in range(4)]

        started = time.monotonic()
        assert counts() == SAMPLE
        assert 0.9 < time.monotonic() - started < 2.5

        assert [len(mirror.requested) for mirror in mirrors] == [1, 1, 1, 1]

    def test_silence_ends_a_download_long_before_patience_does(
        self, add_mirror: AddMirror, monkeypatch: MonkeyPatch
    ) -> None:
        monkeypatch.setattr(import_data, "PATIENCE_SECONDS", 8.0)
        monkeypatch.setattr(import_data, "SILENCE_SECONDS", 0.3)
        add_mirror(stop_halfway)

        started = time.monotonic()
        assert counts() == SAMPLE
        assert time.monotonic() - started < 4

    def test_a_download_that_has_begun_may_pause(
        self, add_mirror: AddMirror, monkeypatch: MonkeyPatch
    ) -> None:
        monkeypatch.setattr(import_data, "PATIENCE_SECONDS", 1.0)
        monkeypatch.setattr(import_data, "SILENCE_SECONDS", 10.0)
        monkeypatch.setattr(import_data, "SLOWEST_BYTES_PER_SECOND", 1_000)
        mirror = add_mirror(pause_halfway(1.5), send())

        assert counts() == FULL
        assert len(mirror.requested) == 4

    @pytest.mark.parametrize("headers", [{}, CHUNKED], ids=["known length", "chunked"])
    @pytest.mark.parametrize(
        ("piece", "slowest", "expected"),
        [
            pytest.param(4_096, 1_000, FULL, id="fast enough"),
            pytest.param(512, 1_000_000, SAMPLE, id="too slow"),
        ],
    )
    def test_a_steady_download_may_take_long_but_not_be_slower_than_the_slowest(
        self,
        add_mirror: AddMirror,
        monkeypatch: MonkeyPatch,
        headers: dict[str, str | None],
        piece: int,
        slowest: int,
        expected: tuple[int, int],
    ) -> None:
        monkeypatch.setattr(import_data, "PATIENCE_SECONDS", 0.5)
        monkeypatch.setattr(import_data, "SLOWEST_BYTES_PER_SECOND", slowest)
        add_mirror(trickle(piece, 0.06, headers), send())

        started = time.monotonic()
        assert counts() == expected
        assert 0.5 < time.monotonic() - started < 4

    def test_a_flood_of_tiny_chunks_is_bounded_too(
        self, add_mirror: AddMirror, monkeypatch: MonkeyPatch
    ) -> None:
        monkeypatch.setattr(import_data, "PATIENCE_SECONDS", 0.5)
        monkeypatch.setattr(import_data, "SLOWEST_BYTES_PER_SECOND", 10**9)
        monkeypatch.setitem(import_data.SIZES, TRAIN_IMAGES, 1_000_000)
        add_mirror(never_end(b"1\r\nx\r\n" * 10_000, 200, CHUNKED))

        started = time.monotonic()
        assert counts() == SAMPLE
        assert time.monotonic() - started < 3

    @pytest.mark.parametrize("status", [429, 503])
    def test_a_busy_mirror_is_asked_again(self, add_mirror: AddMirror, status: int) -> None:
        mirror = add_mirror(send(status=status, headers={"Retry-After": "1"}), send())

        assert counts() == FULL
        assert len(mirror.requested) == 5
        assert mirror.times[1] - mirror.times[0] >= 1.0

    @pytest.mark.parametrize(("status", "headers"), [(429, {"Retry-After": "0"}), (503, {})])
    def test_a_mirror_that_stays_busy_gets_three_requests(
        self, add_mirror: AddMirror, capsys: Capture, status: int, headers: dict[str, str | None]
    ) -> None:
        busy = add_mirror(send(status=status, headers=headers))
        good = add_mirror(*[send()] * 3, send(status=404))

        assert counts() == SAMPLE
        assert len(busy.requested) == 3
        assert len(good.requested) == 4
        assert re.search(rf"^  {busy.url}: .*{status}", capsys.readouterr().err, re.MULTILINE)

    def test_a_redirect_is_followed(self, add_mirror: AddMirror, monkeypatch: MonkeyPatch) -> None:
        target = add_mirror(send())
        origin = add_mirror(redirect(target.url))
        monkeypatch.setattr(import_data, "MIRRORS", (origin.url,))

        assert counts() == FULL
        assert len(origin.requested) == len(target.requested) == 4

    def test_a_redirect_loop_is_left(self, add_mirror: AddMirror, capsys: Capture) -> None:
        loop, good = add_mirror(redirect("")), add_mirror(send(), send(status=404))

        assert counts() == SAMPLE
        assert 1 < len(loop.requested) < 50
        assert len(good.requested) == 2
        assert re.search(rf"^  {loop.url}: .*redirect", capsys.readouterr().err, re.MULTILINE)

    @pytest.mark.parametrize(
        "answer",
        [
            pytest.param(send(bytes, 200, {"Content-Length": None}), id="no length"),
            pytest.param(trickle(4_096, 0, CHUNKED), id="chunked"),
            pytest.param(send(bytes, 200, {"Content-Encoding": "gzip"}), id="labelled as packed"),
            pytest.param(
                send(gzip.compress, 200, {"Content-Encoding": "gzip"}), id="packed on the way"
            ),
            pytest.param(send(gzip.compress), id="packed twice"),
            pytest.param(send(gzip.decompress), id="unpacked"),
            pytest.param(
                send(gzip.decompress, 200, {"Content-Encoding": "gzip"}),
                id="unpacked, but labelled as packed",
            ),
            pytest.param(send(lambda packed: packed + b"rubbish"), id="rubbish after the gzip"),
        ],
    )
    def test_an_odd_way_to_send_the_right_file_is_good_enough(
        self, add_mirror: AddMirror, mnist: Files, folder: Path, answer: Answer
    ) -> None:
        mirror = add_mirror(answer)

        assert counts() == FULL
        assert len(mirror.requested) == 4
        assert read_files(folder) == mnist

    @pytest.mark.parametrize("length", ["garbage", "-1", "1e9", ""])
    def test_a_length_that_is_no_length_does_no_harm(
        self, add_mirror: AddMirror, mnist: Files, folder: Path, length: str
    ) -> None:
        add_mirror(send(bytes, 200, {"Content-Length": length}))
        add_mirror(send())

        with memory_below(10_000_000):
            assert counts() == FULL
        assert read_files(folder) == mnist

    def test_the_same_file_is_not_accepted_under_another_name(
        self, add_mirror: AddMirror, mnist: Files
    ) -> None:
        packed = pack(mnist)
        add_mirror(send(lambda _: packed[f"{TEST_IMAGES}.gz"]))
        assert counts() == SAMPLE

    @pytest.mark.parametrize("fault", [send(status=404), close_halfway])
    def test_a_mirror_that_fails_after_two_files_is_continued_by_the_next(
        self, add_mirror: AddMirror, mnist: Files, folder: Path, fault: Answer
    ) -> None:
        first, second = add_mirror(send(), send(), fault), add_mirror(send())

        assert counts() == FULL
        assert len(first.requested) == 3
        assert first.requested[:2] + second.requested == list(pack(mnist))
        assert read_files(folder) == mnist

    @pytest.mark.parametrize("headers", [{}, {"Content-Encoding": "gzip"}], ids=["", "labelled"])
    @pytest.mark.parametrize("times", [1, 2], ids=["packed once", "packed twice"])
    def test_a_gzip_bomb_is_not_unpacked(
        self, add_mirror: AddMirror, times: int, headers: dict[str, str | None]
    ) -> None:
        bomb = gzip.compress(BOMB)
        body = bomb if times == 1 else gzip.compress(bomb)
        mirror = add_mirror(send(lambda _: body, 200, headers))

        with memory_below(10_000_000):
            assert counts() == SAMPLE
        assert len(mirror.requested) == 1

    def test_an_endless_body_takes_no_more_memory_and_time_than_the_file_would(
        self, add_mirror: AddMirror, monkeypatch: MonkeyPatch
    ) -> None:
        monkeypatch.setitem(import_data.SIZES, TRAIN_IMAGES, 40_000_000)
        add_mirror(never_end())

        started = time.monotonic()
        with memory_below(3 * 40_000_000):
            assert counts() == SAMPLE
        assert time.monotonic() - started < 8

    def test_an_endless_body_is_not_read_on_after_the_mirror_was_given_up(
        self, add_mirror: AddMirror
    ) -> None:
        mirror = add_mirror(never_end())
        assert counts() == SAMPLE
        wait_until(mirror.client_hung_up.is_set)

    @pytest.mark.usefixtures("_little_patience")
    @pytest.mark.parametrize("status", [302, 404, 503])
    def test_an_endless_body_is_not_read_when_it_is_not_the_file(
        self, add_mirror: AddMirror, status: int
    ) -> None:
        headers = {"Location": f"{TRAIN_IMAGES}.gz"} if status == 302 else {}
        add_mirror(never_end(status=status, headers=headers))

        with memory_below(10_000_000):
            assert counts() == SAMPLE

    @pytest.mark.parametrize(
        "address", ["http://mirror.invalid/", "nonsense", "ftp://127.0.0.1/", "http://"]
    )
    def test_an_address_without_a_server_is_a_failed_mirror(
        self, add_mirror: AddMirror, monkeypatch: MonkeyPatch, capsys: Capture, address: str
    ) -> None:
        mirror = add_mirror(*[send()] * 3, send(status=404))
        monkeypatch.setenv("MNIST_MIRROR", address)

        assert counts() == SAMPLE
        assert len(mirror.requested) == 4
        assert re.search(rf"^  {re.escape(address)}: .*\w", capsys.readouterr().err, re.MULTILINE)

    # A warning, as long as it is an error, must not be what keeps a bad certificate out.
    @pytest.mark.filterwarnings("ignore:Unverified HTTPS request")
    @pytest.mark.parametrize(
        ("host", "known", "expected"),
        [
            pytest.param("127.0.0.1", True, FULL, id="good"),
            pytest.param("127.0.0.1", False, SAMPLE, id="of an unknown authority"),
            pytest.param("127.0.0.2", True, SAMPLE, id="for another host"),
        ],
    )
    def test_only_a_certificate_that_verifies_is_accepted(
        self,
        add_mirror: AddMirror,
        tmp_path: Path,
        monkeypatch: MonkeyPatch,
        capsys: Capture,
        host: str,
        known: bool,
        expected: tuple[int, int],
    ) -> None:
        authority = trustme.CA()
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(host).configure_cert(tls)
        mirror = add_mirror(send(), tls=tls)
        if known:
            authority.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
            monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "authority.pem"))

        assert counts() == expected
        if expected == SAMPLE:
            assert mirror.requested == []
            assert re.search(rf"{mirror.url}: .*certificate verify failed", capsys.readouterr().err)

    def test_the_sample_is_used_when_requests_is_not_installed(
        self, add_mirror: AddMirror, monkeypatch: MonkeyPatch, capsys: Capture
    ) -> None:
        add_mirror(send())
        monkeypatch.setitem(sys.modules, "requests", None)

        assert counts() == SAMPLE
        assert "requests" in capsys.readouterr().err


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "cut off": lambda content: content[:-1],
    "cut off in the header": lambda content: content[:7],
    "rubbish": lambda _: b"<html>Please log in</html>",
    "too long": lambda content: content + b"\0",
    **{
        f"a flipped bit in byte {index}": functools.partial(flip_bit, index=index)
        for index in range(16)
    },
}
OTHER_FILES: dict[str, Callable[[bytes], bytes]] = {
    "one flipped bit in a pixel": lambda content: flip_bit(content, -1),
    "fewer images": lambda _: idx_file(np.ones((3, 28, 28), np.uint8)),
    "more images": lambda _: idx_file(np.ones((300, 28, 28), np.uint8)),
    "labels": lambda _: idx_file(np.ones(200, np.uint8)),
    "signed bytes": lambda content: b"\0\0\x09" + content[3:],
    "floats": lambda _: idx_header(2, 3, type_code=0x0D) + bytes(24),
    "doubles": lambda _: idx_header(2, 3, type_code=0x0E) + bytes(48),
    "shorts": lambda _: idx_header(2, 3, type_code=0x0B) + bytes(12),
    "integers": lambda _: idx_header(2, 3, type_code=0x0C) + bytes(24),
}


class TestCache:
    """What may be in the cache folder, for `_read_folder` and `_keep`."""

    @pytest.mark.parametrize("damage", DAMAGES)
    def test_a_damaged_file_is_replaced(
        self, add_mirror: AddMirror, mnist: Files, folder: Path, damage: str
    ) -> None:
        mirror = add_mirror(send())
        write_files(folder, mnist)
        (folder / TRAIN_IMAGES).write_bytes(DAMAGES[damage](mnist[TRAIN_IMAGES]))

        assert counts() == FULL
        assert mirror.requested == [f"{TRAIN_IMAGES}.gz"]
        assert read_files(folder) == mnist

    @pytest.mark.parametrize("damage", DAMAGES)
    def test_a_damaged_packed_file_is_left_alone_and_its_content_downloaded(
        self, add_mirror: AddMirror, mnist: Files, folder: Path, damage: str
    ) -> None:
        mirror = add_mirror(send())
        name = f"{TRAIN_IMAGES}.gz"
        packed = gzipped(DAMAGES[damage](mnist[TRAIN_IMAGES]))
        write_files(folder, pack(mnist) | {name: packed})

        assert counts() == FULL
        assert mirror.requested == [name]
        assert read_files(folder) == pack(mnist) | {
            name: packed,
            TRAIN_IMAGES: mnist[TRAIN_IMAGES],
        }

    def test_a_gzip_bomb_in_the_folder_is_not_unpacked(
        self, add_mirror: AddMirror, mnist: Files, folder: Path
    ) -> None:
        add_mirror(send())
        write_files(folder, pack(mnist) | {f"{TRAIN_IMAGES}.gz": gzip.compress(BOMB)})

        with memory_below(10_000_000):
            assert counts() == FULL

    def test_a_huge_file_in_the_folder_is_not_read(
        self, add_mirror: AddMirror, mnist: Files, folder: Path
    ) -> None:
        add_mirror(send())
        write_files(folder, mnist | {TRAIN_IMAGES: BOMB})

        with memory_below(10_000_000):
            assert counts() == FULL

    @pytest.mark.parametrize(
        "damage",
        [
            lambda _: b"",
            lambda packed: packed[:-1],
            lambda packed: packed[:5],
            lambda packed: flip_bit(packed, -8),
            gzip.decompress,
        ],
        ids=["empty", "cut off", "cut off in the header", "wrong checksum", "not packed"],
    )
    def test_a_packed_file_whose_packing_is_damaged_is_left_alone_too(
        self, add_mirror: AddMirror, mnist: Files, folder: Path, damage: Callable[[bytes], bytes]
    ) -> None:
        add_mirror(send())
        name = f"{TEST_LABELS}.gz"
        packed = damage(pack(mnist)[name])
        write_files(folder, {name: packed})

        assert counts() == FULL
        assert read_files(folder) == mnist | {name: packed}

    def test_a_packed_file_stands_in_for_a_damaged_unpacked_one(
        self, add_mirror: AddMirror, mnist: Files, folder: Path
    ) -> None:
        mirror = add_mirror(send())
        files = mnist | pack(mnist) | {TRAIN_LABELS: b"damaged"}
        write_files(folder, files)

        assert counts() == FULL
        assert mirror.requested == []
        assert read_files(folder) == files

    @pytest.mark.parametrize("packed", [False, True], ids=["unpacked", "packed"])
    @pytest.mark.parametrize("other", OTHER_FILES)
    def test_a_whole_file_of_another_data_set_is_not_touched(
        self, add_mirror: AddMirror, mnist: Files, folder: Path, other: str, packed: bool
    ) -> None:
        mirror = add_mirror(send())
        content = OTHER_FILES[other](mnist[TRAIN_IMAGES])
        path = folder / (f"{TRAIN_IMAGES}.gz" if packed else TRAIN_IMAGES)
        files = {path.name: gzipped(content) if packed else content}
        write_files(folder, files)

        with pytest.raises(CacheError, match=r"not MNIST's.*MNIST_DIR") as caught:
            get_data()

        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)
        assert read_files(folder) == files
        assert mirror.requested == []

    @pytest.mark.parametrize("ending", ["", ".gz"], ids=["unpacked", "packed"])
    @pytest.mark.parametrize(
        "obstacle",
        [
            "directory",
            "link to a device",
            "link to itself",
            pytest.param(
                "unreadable file",
                marks=pytest.mark.skipif(IS_ROOT, reason="root reads everything"),
            ),
        ],
    )
    def test_what_cannot_be_read_is_an_error_that_names_it(
        self, add_mirror: AddMirror, folder: Path, obstacle: str, ending: str
    ) -> None:
        mirror = add_mirror(send())
        folder.mkdir(parents=True)
        path = folder / f"{TEST_IMAGES}{ending}"
        if obstacle == "directory":
            path.mkdir()
        elif obstacle == "unreadable file":
            path.touch(mode=0)
        else:
            path.symlink_to("/dev/zero" if obstacle == "link to a device" else path)
        before = path.lstat()

        with pytest.raises(CacheError, match=r"cannot be read") as caught:
            get_data()

        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)
        assert path.lstat().st_ino == before.st_ino
        assert list(folder.iterdir()) == [path]
        assert mirror.requested == []

    @pytest.mark.parametrize("ending", ["", ".gz"], ids=["unpacked", "packed"])
    def test_a_pipe_is_an_error_and_not_waited_for(
        self, add_mirror: AddMirror, folder: Path, ending: str
    ) -> None:
        mirror = add_mirror(send())
        folder.mkdir(parents=True)
        path = folder / f"{TEST_IMAGES}{ending}"
        os.mkfifo(path)

        with start_program() as program:  # a process, because it can be ended if it waits
            try:
                _, errors = program.communicate(timeout=10)
            finally:
                program.kill()

        last_line = errors.splitlines()[-1]
        assert last_line.startswith(f"import_data.CacheError: {path} cannot be read")
        assert path.is_fifo()
        assert mirror.requested == []

    @pytest.mark.parametrize("ending", ["", "/below"])
    def test_a_file_in_the_place_of_the_folder_is_an_error(
        self, add_mirror: AddMirror, tmp_path: Path, monkeypatch: MonkeyPatch, ending: str
    ) -> None:
        mirror = add_mirror(send())
        file = tmp_path / "file"
        file.write_text("precious")
        monkeypatch.setenv("MNIST_DIR", f"{file}{ending}")

        with pytest.raises(CacheError, match=re.escape(f"{file}{ending}")) as caught:
            get_data()

        assert "\n" not in str(caught.value)
        assert file.read_text() == "precious"
        assert mirror.requested == []

    def test_a_good_file_behind_a_link_is_used(
        self, mnist: Files, folder: Path, tmp_path: Path
    ) -> None:
        write_files(folder, mnist)
        (folder / TRAIN_IMAGES).rename(tmp_path / "elsewhere")
        (folder / TRAIN_IMAGES).symlink_to(tmp_path / "elsewhere")
        assert counts() == FULL

    @pytest.mark.parametrize("content", [None, b"damaged"], ids=["nothing", "a damaged file"])
    def test_a_link_is_never_replaced(
        self,
        add_mirror: AddMirror,
        mnist: Files,
        folder: Path,
        tmp_path: Path,
        capsys: Capture,
        content: bytes | None,
    ) -> None:
        add_mirror(send())
        link, target = folder / TRAIN_IMAGES, tmp_path / "target"
        write_files(folder, {name: mnist[name] for name in mnist if name != TRAIN_IMAGES})
        link.symlink_to(target)
        if content is not None:
            target.write_bytes(content)

        assert counts() == FULL

        assert link.readlink() == target
        assert (target.read_bytes() if target.exists() else None) == content
        assert len(list(folder.iterdir())) == 4
        (note,) = capsys.readouterr().err.splitlines()
        assert f"{TRAIN_IMAGES} could not be kept" in note
        assert "link" in note

    @pytest.mark.parametrize(
        ("method", "number"),
        [
            ("write_bytes", errno.ENOSPC),
            ("write_bytes", errno.EROFS),
            ("replace", errno.EACCES),
            ("mkdir", errno.EACCES),
        ],
    )
    def test_what_cannot_be_kept_is_used_nevertheless(
        self,
        add_mirror: AddMirror,
        folder: Path,
        monkeypatch: MonkeyPatch,
        capsys: Capture,
        method: str,
        number: int,
    ) -> None:
        def fail(path: Path, *_: object, **__: object) -> None:
            if method == "write_bytes":
                path.touch()  # as a full disk does
            raise OSError(number, os.strerror(number))

        add_mirror(send())
        monkeypatch.setattr(Path, method, fail)
        if method != "mkdir":
            os.makedirs(folder)  # noqa: PTH103 - the method of Path may be broken now

        assert counts() == FULL

        notes = capsys.readouterr().err.splitlines()
        assert len(notes) == 4
        for name, note in zip(import_data.SHA256, notes, strict=True):
            assert note.startswith(f"{name} could not be kept in {folder}: ")
            assert os.strerror(number) in note
        assert not folder.exists() or list(folder.iterdir()) == []

    def test_a_folder_that_cannot_be_made_does_no_harm(
        self, add_mirror: AddMirror, tmp_path: Path, monkeypatch: MonkeyPatch, capsys: Capture
    ) -> None:
        add_mirror(send())
        link = tmp_path / "link"
        link.symlink_to(tmp_path / "nowhere")  # in the place of a folder
        monkeypatch.setenv("MNIST_DIR", str(link))

        assert counts() == FULL
        assert capsys.readouterr().err.count("could not be kept") == 4
        assert link.readlink() == tmp_path / "nowhere"

    def test_a_full_disk_leaves_nothing_half_written(
        self, add_mirror: AddMirror, mnist: Files, folder: Path
    ) -> None:
        add_mirror(send())
        limit = "resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, 1_000))"

        with start_program(limit) as program:
            output, errors = program.communicate(timeout=20)

        assert output.split() == ["200", "100"]
        notes = errors.splitlines()
        assert len(notes) == 2
        assert notes[0].startswith(f"{TRAIN_IMAGES} could not be kept in {folder}: ")
        assert notes[1].startswith(f"{TEST_IMAGES} could not be kept in {folder}: ")
        assert read_files(folder) == {name: mnist[name] for name in (TRAIN_LABELS, TEST_LABELS)}

    def test_two_first_runs_at_the_same_time_do_not_harm_each_other(
        self, add_mirror: AddMirror, mnist: Files, folder: Path
    ) -> None:
        add_mirror(send_together(2))  # each file goes out when both runs have asked for it

        with start_program() as first, start_program() as second:
            results = [program.communicate(timeout=20) for program in (first, second)]

        assert results == [("200 100\n", ""), ("200 100\n", "")]
        assert read_files(folder) == mnist

    def test_a_run_that_is_killed_in_a_download_leaves_only_whole_files(
        self, add_mirror: AddMirror, mnist: Files, folder: Path
    ) -> None:
        mirror = add_mirror(send(), stop_halfway, send())
        with start_program() as program:
            wait_until(lambda: len(mirror.requested) == 2)
            program.kill()
            program.communicate()
        assert read_files(folder) == {TRAIN_IMAGES: mnist[TRAIN_IMAGES]}

        assert counts() == FULL
        assert read_files(folder) == mnist

    @pytest.mark.parametrize(
        ("age", "stays"),
        [
            (0.0, True),
            (import_data.ABANDONED_SECONDS - 60, True),
            (import_data.ABANDONED_SECONDS + 60, False),
        ],
    )
    def test_the_partial_file_of_a_killed_run_is_removed_once_it_is_old(
        self, add_mirror: AddMirror, mnist: Files, folder: Path, age: float, stays: bool
    ) -> None:
        add_mirror(send())
        hang = "pathlib.Path.replace = lambda *_: time.sleep(60)"
        with start_program(hang) as program:
            wait_until(lambda: folder.exists() and any(map(os.path.getsize, folder.iterdir())))
            program.kill()
            program.communicate()
        (partial,) = folder.iterdir()
        assert partial.name != TRAIN_IMAGES
        os.utime(partial, times=(time.time() - age,) * 2)

        assert counts() == FULL
        assert partial.exists() == stays
        partial.unlink(missing_ok=True)
        assert read_files(folder) == mnist

    def test_a_partial_file_that_vanishes_meanwhile_does_no_harm(
        self, add_mirror: AddMirror, mnist: Files, folder: Path, capsys: Capture
    ) -> None:
        add_mirror(send())
        folder.mkdir(parents=True)
        # Listed but not there, like the partial file of another run that has just been renamed.
        (folder / f"{TRAIN_IMAGES}.0123456789abcdef.part").symlink_to("nowhere")

        assert counts() == FULL
        assert capsys.readouterr().err == ""
        assert (folder / TRAIN_IMAGES).read_bytes() == mnist[TRAIN_IMAGES]


class TestParseMnist:
    def test_good_files_give_rows_of_pixels_and_digits(self) -> None:
        pixels = np.arange(3 * 784).astype(np.uint8).reshape(3, 28, 28)
        digits = np.array([0, 9, 4], np.uint8)

        images, labels = parse_mnist(idx_file(pixels), idx_file(digits))

        assert images.dtype == labels.dtype == np.uint8
        np.testing.assert_array_equal(images, pixels.reshape(3, 784))
        np.testing.assert_array_equal(labels, digits)

    def test_empty_sets_are_empty_arrays(self) -> None:
        images, labels = parse_mnist(idx_header(0, 28, 28), idx_header(0))
        assert images.shape == (0, 784)
        assert labels.shape == (0,)

    @pytest.mark.parametrize(
        ("images_shape", "labels", "complaint"),
        [
            ((2, 28, 27), [1, 2], r"\(28, 27\).*\(28, 28\)"),
            ((2, 784, 1), [1, 2], r"\(784, 1\).*\(28, 28\)"),
            ((2, 14, 56), [1, 2], r"\(14, 56\).*\(28, 28\)"),
            ((0, 0, 0), [], r"\(0, 0\).*\(28, 28\)"),
            ((2, 28, 28), [1, 2, 3], "2 images but 3 labels"),
            ((2, 28, 28), [1], "2 images but 1 label"),
            ((2, 28, 28), [], "2 images but 0 labels"),
            ((2, 28, 28), [9, 10], "label 10.*0 to 9"),
            ((2, 28, 28), [255, 0], "label 255.*0 to 9"),
            ((2, 784), [1, 2], "2 dimensions, wanted 3"),
            ((2, 28, 28), [[1], [2]], "2 dimensions, wanted 1"),
        ],
    )
    def test_what_does_not_fit_together_is_a_value_error(
        self, images_shape: tuple[int, ...], labels: list[int], complaint: str
    ) -> None:
        images_content = idx_file(np.zeros(images_shape, np.uint8))
        labels_content = idx_file(np.array(labels, np.uint8))
        with pytest.raises(ValueError, match=complaint):
            parse_mnist(images_content, labels_content)

    @given(st.data())
    def test_no_bytes_whatever_raise_anything_but_a_value_error(self, data: st.DataObject) -> None:
        images_content = data.draw(any_content(idx_header(2, 28, 28) + bytes(2 * 784)))
        labels_content = data.draw(any_content(idx_header(2) + b"\1\2"))
        try:
            images, labels = parse_mnist(images_content, labels_content)
        except ValueError:
            return
        assert idx_file(images.reshape(-1, 28, 28)) == images_content
        assert idx_file(labels) == labels_content
        assert all(labels < 10)


def any_content(good: bytes) -> st.SearchStrategy[bytes]:
    """Return a strategy for the good file, for headers with anything after them, and for any bytes.

    The sizes are small ones, which fit now and then, and large ones, whose product overflows.
    """
    size = st.sampled_from([0, 1, 2, 28, 2**16, 2**31, 2**32 - 1]) | st.integers(0, 2**32 - 1)
    headers = st.builds(
        lambda type_code, sizes: idx_header(*sizes, type_code=type_code),
        st.sampled_from([8, 8, 8, 9, 13]) | st.integers(0, 255),
        st.lists(size, max_size=6),
    )
    changes = st.builds(
        lambda index, byte: good[:index] + bytes([byte]) + good[index + 1 :],
        st.integers(0, len(good) - 1),
        st.integers(0, 255),
    )
    return st.one_of(
        st.just(good), changes, st.builds(bytes.__add__, headers, st.binary()), st.binary()
    )


class TestParseIdx:
    @given(npst.arrays(np.uint8, npst.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5)))
    def test_any_array_comes_back_from_its_file(self, items: NDArray[np.uint8]) -> None:
        parsed = parse_idx(idx_file(items), items.ndim)
        assert parsed.dtype == np.uint8
        assert parsed.shape == items.shape
        np.testing.assert_array_equal(parsed, items)

    @pytest.mark.parametrize(
        ("content", "dimensions", "complaint"),
        [
            (b"", 1, "does not begin"),
            (b"\0\0\x08", 1, "does not begin"),
            (b"\1\0\x08\1\0\0\0\1x", 1, "does not begin.*01 00 08 01"),
            (b"\0\1\x08\1\0\0\0\1x", 1, "does not begin"),
            (b"\0\0\x0a\1\0\0\0\1x", 1, "does not begin"),
            (b"\x1f\x8b\x08\0", 1, "does not begin.*1f 8b"),
            (b"\0\0\x09\1\0\0\0\1x", 1, "type code is 0x09, wanted 0x08"),
            (b"\0\0\x0d\1\0\0\0\1xxxx", 1, "type code is 0x0d"),
            (b"\0\0\x08\1", 1, "header is cut off after 4 bytes"),
            (b"\0\0\x08\1\0\0\0", 1, "header is cut off after 7 bytes"),
            (b"\0\0\x08\3\0\0\0\1\0\0\0\1", 3, "header is cut off after 12 bytes"),
            (b"\0\0\x08\xff" + bytes(99), 255, "header is cut off"),
            (idx_header(1) + b"x", 3, "has 1 dimensions, wanted 3"),
            (idx_header(1, 1, 1) + b"x", 1, "has 3 dimensions, wanted 1"),
            (idx_header(5), 1, "says 13 bytes, there are 8"),
            (idx_header(5) + b"1234", 1, "says 13 bytes, there are 12"),
            (idx_header(5) + b"123456", 1, "says 13 bytes, there are 14"),
            (idx_header(0) + b"1", 1, "says 8 bytes, there are 9"),
            (idx_header(2**32 - 1, 28, 28) + bytes(784), 3, "there are 800"),
            (idx_header(2**31, 2**31, 4), 3, "there are 16"),  # 0 items in 64 bits
            (idx_header(2**31, 2**32 - 1, 2), 3, "there are 16"),  # negative in 64 bits
            (idx_header(*[1] * 99) + b"x", 99, "dimension"),  # more than NumPy has
        ],
    )
    def test_what_is_not_such_a_file_is_a_value_error(
        self, content: bytes, dimensions: int, complaint: str
    ) -> None:
        with pytest.raises(ValueError, match=complaint):
            parse_idx(content, dimensions)

    @given(any_content(idx_header(2, 1, 3) + b"123456"), st.integers(0, 6))
    def test_no_bytes_whatever_raise_anything_but_a_value_error(
        self, content: bytes, dimensions: int
    ) -> None:
        try:
            items = parse_idx(content, dimensions)
        except ValueError:
            return
        assert items.ndim == dimensions
        assert idx_file(items) == content


class TestIsLive:
    @pytest.mark.parametrize(("term", "expected"), [("xterm", True), (None, True), ("dumb", False)])
    def test_a_terminal_is_live_unless_it_is_dumb(
        self, monkeypatch: MonkeyPatch, term: str | None, expected: bool
    ) -> None:
        monkeypatch.delenv("TERM", raising=False)
        if term is not None:
            monkeypatch.setenv("TERM", term)
        assert import_data.is_live(Terminal()) is expected

    def test_a_file_is_not_live(self, monkeypatch: MonkeyPatch) -> None:
        monkeypatch.setenv("TERM", "xterm")
        assert import_data.is_live(io.StringIO()) is False


def stream_of(encoding: str) -> io.TextIOWrapper:
    """Return a stream with this encoding."""
    return io.TextIOWrapper(io.BytesIO(), encoding=encoding)


class TestCanShow:
    @pytest.mark.parametrize(
        ("characters", "encoding", "expected"),
        [
            ("━─", "utf-8", True),
            ("━─", "cp437", False),
            ("━─", "latin-1", False),
            ("━─", "ascii", False),
            ("#.", "ascii", True),
            ("é", "latin-1", True),
            ("aé", "ascii", False),
        ],
    )
    def test_it_says_whether_the_encoding_has_the_characters(
        self, characters: str, encoding: str, expected: bool
    ) -> None:
        assert import_data.can_show(characters, stream_of(encoding)) is expected

    def test_a_stream_without_an_encoding_is_no_reason_to_fail(self) -> None:
        assert import_data.can_show("#.", io.StringIO()) in (True, False)


class TestProgressBar:
    @pytest.mark.parametrize(
        ("fraction", "filled"),
        [(0.0, 0), (0.02, 0), (0.03, 1), (0.5, 10), (0.96, 19), (1.0, 20), (1.5, 20), (1e9, 20)],
    )
    @pytest.mark.parametrize(("encoding", "full", "empty"), [("utf-8", *"━─"), ("ascii", *"#.")])
    def test_it_is_filled_up_to_the_fraction(
        self, fraction: float, filled: int, encoding: str, full: str, empty: str
    ) -> None:
        bar = import_data.progress_bar(fraction, stream_of(encoding))
        assert bar == full * filled + empty * (20 - filled)

    @pytest.mark.parametrize("fraction", [-1e-9, -0.5, -1.0, -1000.0])
    def test_it_is_empty_for_less_than_nothing(self, fraction: float) -> None:
        assert import_data.progress_bar(fraction, stream_of("ascii")) == "." * 20


class TestDrawOver:
    def test_a_line_covers_what_was_there(self, terminal: Terminal) -> None:
        import_data.draw_over("a long line", terminal)
        import_data.draw_over("short", terminal)
        assert [line for line in terminal.lines() if line] == [
            "a long line".ljust(79),
            "short".ljust(79),
        ]

    def test_a_line_is_cut_to_the_width_and_left_for_its_start(self, terminal: Terminal) -> None:
        import_data.draw_over("0123456789" * 9, terminal)
        assert terminal.getvalue() == "\r" + ("0123456789" * 9)[:79] + "\r"

    def test_the_end_comes_after_the_line(self, terminal: Terminal) -> None:
        import_data.draw_over("done", terminal, end="\n")
        assert terminal.getvalue() == "\r" + "done".ljust(79) + "\n"

    def test_nothing_is_written_to_what_is_not_a_terminal(self) -> None:
        stream = io.StringIO()
        import_data.draw_over("line", stream)
        assert stream.getvalue() == ""

    def test_nothing_is_written_to_a_dumb_terminal(
        self, terminal: Terminal, monkeypatch: MonkeyPatch
    ) -> None:
        monkeypatch.setenv("TERM", "dumb")
        import_data.draw_over("line", terminal)
        assert terminal.getvalue() == ""


class TestProgressOfADownload:
    """What `_download` shows while it works."""

    def test_a_bar_fills_up_and_is_wiped_off_at_the_end(
        self, add_mirror: AddMirror, terminal: Terminal
    ) -> None:
        add_mirror(send())

        with contextlib.redirect_stderr(terminal):
            assert counts() == FULL

        lines = terminal.lines()
        assert {len(line) for line in lines} == {0, 79}
        assert lines[-1] == ""
        assert lines[-2].strip() == ""
        for name in import_data.SHA256:
            bars = [line.count("━") for line in lines if line.startswith(f"{name}  ")]
            assert bars == sorted(bars)
            assert bars[-1] == 20
        assert re.search(rf"{TRAIN_IMAGES}  ━+─+  0\.0 MB", terminal.getvalue())

    def test_without_a_length_there_is_no_bar(
        self, add_mirror: AddMirror, terminal: Terminal
    ) -> None:
        add_mirror(send(bytes, 200, {"Content-Length": None}))

        with contextlib.redirect_stderr(terminal):
            assert counts() == FULL

        assert re.search(rf"\r{TRAIN_IMAGES}  0\.0 MB +\r", terminal.getvalue())
        assert not set("━─%") & set(terminal.getvalue())

    @pytest.mark.parametrize("length", ["100", "0"])
    def test_the_bar_is_never_more_than_full(
        self, add_mirror: AddMirror, terminal: Terminal, length: str
    ) -> None:
        add_mirror(trickle(4_096, 0, CHUNKED | {"Content-Length": length}))

        with contextlib.redirect_stderr(terminal):
            assert counts() == FULL

        bars = re.findall("[━─]+", terminal.getvalue())
        assert {len(bar) for bar in bars} == ({20} if length == "100" else set())

    @pytest.mark.parametrize("fault", [send(status=404), close_halfway])
    def test_a_failure_wipes_the_line_before_the_note(
        self, add_mirror: AddMirror, terminal: Terminal, fault: Answer
    ) -> None:
        add_mirror(fault)

        with contextlib.redirect_stderr(terminal):
            assert counts() == SAMPLE

        before, note = terminal.getvalue().split("The full MNIST", 1)
        assert before.endswith("\r" + " " * 79 + "\r")
        assert "\r" not in note

    def test_a_dumb_terminal_shows_nothing(
        self, add_mirror: AddMirror, terminal: Terminal, monkeypatch: MonkeyPatch
    ) -> None:
        add_mirror(send())
        monkeypatch.setenv("TERM", "dumb")

        with contextlib.redirect_stderr(terminal):
            assert counts() == FULL
        assert terminal.getvalue() == ""

    def test_a_string_in_the_place_of_stderr_is_no_reason_to_fail(
        self, add_mirror: AddMirror
    ) -> None:
        add_mirror(send())
        with contextlib.redirect_stderr(io.StringIO()) as stream:
            assert counts() == FULL
        assert stream.getvalue() == ""
