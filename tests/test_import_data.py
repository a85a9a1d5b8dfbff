"""Tests of `import_data`: real files, real processes, and a real server for every kind of fault.

Most use 200 made-up training images and 100 made-up test images.
"""

import contextlib
import gzip
import hashlib
import importlib
import json
import re
import ssl
import struct
import subprocess
import sys
import tempfile
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import trustme
from hypothesis import given
from hypothesis.extra import numpy as npst
from mirror import (
    Answer,
    Mirror,
    close_halfway,
    never_answer,
    never_end,
    send,
    send_bytes,
    send_together,
    speak,
    status,
    stop_halfway,
    trickle,
)
from numpy.typing import NDArray

import import_data
from import_data import SAMPLE_FOLDER, DataError, DownloadError, get_data, parse_idx
from neural_network import load_mnist

TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS = import_data.SHA256
PUBLIC_MIRRORS = len(import_data.MIRRORS)

Files = dict[str, bytes]
MonkeyPatch = pytest.MonkeyPatch
Capture = pytest.CaptureFixture[str]


class Mnist(NamedTuple):
    """A replacement for MNIST in a test."""

    files: Files  # made up, uncompressed
    folder: Path  # set by MNIST_DIR; it does not exist yet
    add_mirror: Callable[..., Mirror]  # adds a mirror that gives these answers


def idx_file(items: NDArray[np.uint8]) -> bytes:
    """Return the IDX file of an array."""
    return struct.pack(f">4B{items.ndim}I", 0, 0, 8, items.ndim, *items.shape) + items.tobytes()


def made_up_split(split: str, count: int) -> Files:
    """Return files like those of a split of MNIST, with each label in the image's first pixel."""
    images = np.random.default_rng(0).integers(256, size=(count, 28, 28), dtype=np.uint8)
    images[:, 0, 0] = labels = (np.arange(count) * 7 % 10).astype(np.uint8)
    return dict(zip(import_data.SPLITS[split], map(idx_file, (images, labels)), strict=True))


def compressed(files: Files) -> Files:
    """Return the files as a mirror has them."""
    return {f"{name}.gz": gzip.compress(content, 1) for name, content in files.items()}


def write_files(folder: Path, files: Files) -> None:
    """Write the files into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)


def read_files(folder: Path) -> Files:
    """Return everything in a folder."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def mnist(monkeypatch: MonkeyPatch, tmp_path: Path) -> Iterator[Mnist]:
    """Replace MNIST with made-up files, which no mirror has yet."""
    files = made_up_split("train", 200) | made_up_split("test", 100)
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    monkeypatch.setattr(import_data, "SHA256", hashes)
    monkeypatch.setattr(import_data, "MIRRORS", ())
    monkeypatch.setenv("MNIST_DIR", str(tmp_path / "some" / "folder"))
    with contextlib.ExitStack() as stack:

        def add_mirror(*answers: Answer, tls: ssl.SSLContext | None = None) -> Mirror:
            mirror = stack.enter_context(Mirror(compressed(files), *answers, tls=tls))
            monkeypatch.setattr(import_data, "MIRRORS", (*import_data.MIRRORS, mirror.url))
            return mirror

        yield Mnist(files, tmp_path / "some" / "folder", add_mirror)


def error_message(path: Path) -> str:
    """Return the error message for a file that is not one of MNIST."""
    return f"{path} is damaged or not MNIST's: remove or rename it, or set MNIST_DIR"


def start_process(preparation: str = "") -> "subprocess.Popen[str]":
    """Start a process that gets the training set with the settings of this test."""
    settings = {name: getattr(import_data, name) for name in ("MIRRORS", "SHA256")}
    program = (
        "import json, os, pathlib, requests, sys, time, import_data\n"
        "vars(import_data).update(json.loads(sys.argv[1]))\n"
        f"{preparation}\n"
        "print(len(import_data.get_data()[0]))\n"
    )
    return subprocess.Popen(
        [sys.executable, "-c", program, json.dumps(settings)],
        cwd=Path(import_data.__file__).parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.unix
class TestGetData:
    @pytest.mark.parametrize("hyphen", ["-idx", ".idx"])
    @pytest.mark.parametrize("ending", ["", ".gz"])
    def test_a_split_needs_only_its_two_files_under_any_of_their_names(
        self, mnist: Mnist, hyphen: str, ending: str
    ) -> None:
        files = {name: mnist.files[name] for name in import_data.SPLITS["test"]}
        written = compressed(files) if ending else files
        write_files(mnist.folder, {x.replace("-idx", hyphen): written[x] for x in written})
        images, labels = get_data("test")
        pixels = np.frombuffer(files[TEST_IMAGES][16:], np.uint8).reshape(-1, 784)
        assert images.dtype == labels.dtype == np.float32
        np.testing.assert_allclose(images, pixels / 255, rtol=1e-6)
        np.testing.assert_array_equal(labels, np.eye(10)[pixels[:, 0]])
        with pytest.raises(DownloadError):
            get_data("train")

    def test_a_split_must_be_train_or_test(self) -> None:
        with pytest.raises(ValueError, match="split must be 'train' or 'test', not 'Train'"):
            get_data("Train")

    def test_only_the_missing_files_of_a_split_are_downloaded(
        self, mnist: Mnist, capsys: Capture
    ) -> None:
        mirror = mnist.add_mirror(send)
        write_files(mnist.folder, {TRAIN_LABELS: mnist.files[TRAIN_LABELS]})
        for _ in range(2):
            assert len(get_data("train")[0]) == 200
        assert mirror.requested == [f"{TRAIN_IMAGES}.gz"]
        announced = f"Downloading missing MNIST files to\n{mnist.folder}\nTrying {mirror.host}\n"
        assert capsys.readouterr() == ("", announced)
        assert len(get_data("test")[0]) == 100
        assert read_files(mnist.folder) == mnist.files
        # A downloaded file has the permissions of any other.
        assert len({path.stat().st_mode for path in mnist.folder.iterdir()}) == 1

    @pytest.mark.parametrize(
        "variant",
        [str, lambda url: url.rstrip("/") + " ", lambda url: url.replace("http", "HTTP")],
    )
    def test_the_users_own_mirror_is_tried_first(
        self, mnist: Mnist, monkeypatch: MonkeyPatch, variant: Callable[[str], str]
    ) -> None:
        own, listed = mnist.add_mirror(send, status(404)), mnist.add_mirror(send)
        monkeypatch.setattr(import_data, "MIRRORS", (listed.url,))
        monkeypatch.setenv("MNIST_MIRROR", variant(own.url))
        assert len(get_data()[0]) == 200
        assert own.requested == [f"{TRAIN_IMAGES}.gz", f"{TRAIN_LABELS}.gz"]
        assert listed.requested == [f"{TRAIN_LABELS}.gz"]

    @pytest.mark.parametrize(
        ("argument", "mnist_dir", "place"),
        [
            (None, None, "data"),
            (None, "", "data"),
            (None, "~/mnist", "home/mnist"),
            (None, "mnist", "here/mnist"),
            ("mine", "~/mnist", "here/mine"),
        ],
    )
    def test_the_folder_is_the_argument_or_else_mnist_dir_or_else_data_beside_the_module(
        self,
        mnist: Mnist,
        tmp_path: Path,
        monkeypatch: MonkeyPatch,
        argument: str | None,
        mnist_dir: str | None,
        place: str,
    ) -> None:
        mnist.add_mirror(send)
        (tmp_path / "here").mkdir()
        monkeypatch.chdir(tmp_path / "here")
        monkeypatch.setattr(import_data, "__file__", str(tmp_path / "import_data.py"))
        monkeypatch.setenv("HOME", str(tmp_path / "home"))
        monkeypatch.delenv("MNIST_DIR")
        if mnist_dir is not None:
            monkeypatch.setenv("MNIST_DIR", mnist_dir)
        get_data(folder=argument)
        assert (tmp_path / place / TRAIN_IMAGES).exists()

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


@pytest.mark.parametrize(
    ("split", "count", "first_labels"),
    [("train", 6_000, "5041921314"), ("test", 1_000, "7210414959")],
)
def test_the_sample_is_the_first_tenth_of_mnist(split: str, count: int, first_labels: str) -> None:
    images, labels = get_data(split, folder=SAMPLE_FOLDER)
    assert (images.shape, labels.shape) == ((count, 784), (count, 10))
    assert "".join(map(str, labels[:10].argmax(axis=1))) == first_labels
    assert images.min() == 0
    assert images.max() == 1


@contextlib.contextmanager
def memory_below(limit: int) -> Iterator[None]:
    """Fail if memory use reaches `limit` bytes."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < limit
    finally:
        tracemalloc.stop()


@pytest.mark.unix
class TestDownload:
    @pytest.mark.parametrize(
        ("fault", "reason"),
        [
            (status(403), "403 Forbidden"),
            (close_halfway, "IncompleteRead.*|did not deliver .*gz: .* bytes in . s"),
            (send_bytes(b"<html>Please log in</html>"), "did not deliver .*gz: 26 bytes in 0 s"),
            (send_bytes(gzip.compress(bytes(20_000_000), 1)), "did not deliver .*gz: .* in . s"),
            (never_end, "did not deliver .*gz: 1,00.* bytes in . s"),
            (speak(b"SSH-2.0 server\r\n"), "SSH-2.0 server"),
            (
                speak(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
                "Response ended prematurely",
            ),
            (speak(b""), "Remote end closed connection without response"),
        ],
    )
    def test_the_next_mirror_takes_over_and_the_reason_is_one_line(
        self,
        mnist: Mnist,
        capsys: Capture,
        monkeypatch: MonkeyPatch,
        fault: Answer,
        reason: str,
    ) -> None:
        monkeypatch.setattr(import_data, "LARGEST_FILE", 1_000_000)
        bad, good = mnist.add_mirror(send, fault), mnist.add_mirror(send)
        with memory_below(10_000_000):
            assert len(get_data()[0]) == 200
        assert good.requested == [f"{TRAIN_LABELS}.gz"]
        *_, trying, line, trying_next = capsys.readouterr().err.splitlines()
        assert (trying, trying_next) == (f"Trying {bad.host}", f"Trying {good.host}")
        assert re.fullmatch(f"  ({reason})", line)
        assert line.isprintable()

    @pytest.mark.parametrize("fault", [never_answer, stop_halfway, trickle(1_500, 0.1)])
    def test_a_slow_mirror_is_abandoned_and_its_thread_ends(
        self, mnist: Mnist, capsys: Capture, monkeypatch: MonkeyPatch, fault: Answer
    ) -> None:
        monkeypatch.setattr(import_data, "PATIENCE_SECONDS", 1)
        monkeypatch.setattr(import_data, "SLOWEST_BYTES_PER_SECOND", 200_000)
        monkeypatch.setattr(import_data, "TIMEOUT", (2, 2))
        mnist.add_mirror(fault)
        mnist.add_mirror(send)
        before = set(threading.enumerate())
        assert len(get_data()[0]) == 200
        line = capsys.readouterr().err.splitlines()[-2]
        assert re.fullmatch(rf"  did not deliver {TRAIN_IMAGES}.gz: [\d,]+ bytes in \d s", line)
        for thread in set(threading.enumerate()) - before:
            if "process_request" not in thread.name:  # those of the servers, which go on
                thread.join(5)
                assert not thread.is_alive()

    def test_a_download_that_goes_on_may_take_longer(
        self, mnist: Mnist, monkeypatch: MonkeyPatch
    ) -> None:
        monkeypatch.setattr(import_data, "PATIENCE_SECONDS", 0.5)
        mnist.add_mirror(trickle(20_000, 0.2), send)  # 160 kB in 8 pieces: three times as long
        assert len(get_data()[0]) == 200

    def test_the_wait_for_a_silent_mirror_is_short_and_idle(
        self, mnist: Mnist, monkeypatch: MonkeyPatch
    ) -> None:
        # Time is left for loading the sample within 15 seconds.
        assert PUBLIC_MIRRORS * import_data.PATIENCE_SECONDS < 13
        monkeypatch.setattr(import_data, "PATIENCE_SECONDS", 2)
        mnist.add_mirror(never_answer)
        importlib.import_module("requests")  # which takes time, too
        before = time.process_time()
        with pytest.raises(DownloadError):
            get_data()
        assert time.process_time() - before < 1

    def test_an_abandoned_thread_does_not_keep_the_program_from_ending(self, mnist: Mnist) -> None:
        mnist.add_mirror(send)
        hang = "requests.get = lambda *_, **__: time.sleep(30)"
        with start_process(f"import_data.PATIENCE_SECONDS = 0.2\n{hang}") as process:
            assert ": 0 bytes in" in process.communicate(timeout=20)[1]

    def test_if_all_mirrors_fail_the_error_says_what_to_do(self, mnist: Mnist) -> None:
        mnist.add_mirror(send, status(503))
        mnist.add_mirror(status(404))
        with pytest.raises(DownloadError) as caught:
            get_data("test")
        assert str(caught.value) == (
            f"{TEST_LABELS} could not be downloaded: put the files into {mnist.folder}, "
            "set MNIST_MIRROR to the URL of a mirror, or use the bundled sample: "
            "get_data(..., folder=SAMPLE_FOLDER)"
        )
        assert list(read_files(mnist.folder)) == [TEST_IMAGES]

    @pytest.mark.parametrize(
        ("mirror", "reason"),
        [
            ("http://user:secret@127.0.0.1:1/", "Connection refused"),
            ("http://user:secret@{host}/nothing", "404 Not Found"),
            ("http://user:secret@my..mirror/", "the URL of the mirror or proxy cannot be used"),
            ("http://user:secret@/", "the URL of the mirror or proxy cannot be used"),
            (
                "http://user:secret@127.0.0.1:99999/",
                "the URL of the mirror or proxy cannot be used",
            ),
            ("https://user:secret@mirror.invalid/", "the proxy failed: .*Connection refused"),
            ("ftp://user:secret@mirror/", "MNIST_MIRROR must be a URL that begins with http:// or"),
        ],
    )
    def test_the_error_of_the_users_own_mirror_does_not_reveal_its_password(
        self, mnist: Mnist, monkeypatch: MonkeyPatch, capsys: Capture, mirror: str, reason: str
    ) -> None:
        listed = mnist.add_mirror(status(404))
        monkeypatch.setenv("MNIST_MIRROR", mirror.format(host=listed.host))
        with pytest.raises(DataError) as caught:
            get_data()
        told = capsys.readouterr().err + str(caught.value)
        assert re.search(reason, told)
        assert "secret" not in told

    @pytest.mark.parametrize("split", ["train", "test"])
    def test_the_program_uses_the_sample_for_both_splits_if_one_cannot_be_downloaded(
        self, mnist: Mnist, split: str
    ) -> None:
        write_files(mnist.folder, {name: mnist.files[name] for name in import_data.SPLITS[split]})
        assert [len(images) for images, _ in load_mnist()] == [6_000, 1_000]

    def test_a_certificate_must_be_valid(
        self, mnist: Mnist, monkeypatch: MonkeyPatch, tmp_path: Path, capsys: Capture
    ) -> None:
        authority, tls = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(tls)
        monkeypatch.setenv("MNIST_MIRROR", mnist.add_mirror(send, tls=tls).url)
        with pytest.raises(DownloadError):
            get_data()
        assert "certificate verify failed" in capsys.readouterr().err
        authority.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "authority.pem"))
        assert len(get_data()[0]) == 200

    def test_the_largest_file_of_mnist_is_not_too_large(self) -> None:
        content = bytes(16 + 60_000 * 28 * 28)
        assert import_data.uncompressed(gzip.compress(content, 1)) == content


@pytest.mark.unix
class TestFolder:
    @pytest.mark.parametrize("name", [TRAIN_IMAGES, f"{TRAIN_LABELS}.gz"])
    @pytest.mark.parametrize(
        "damage",
        [
            lambda _: b"",
            lambda content: content[:-20],
            lambda content: content[:-20] + bytes([content[-20] ^ 1]) + content[-19:],
            lambda _: idx_file(np.ones((200, 28, 28), np.uint8)),  # of a different data set
        ],
    )
    def test_a_file_not_from_mnist_is_named_before_a_download_and_left_alone(
        self, mnist: Mnist, name: str, damage: Callable[[bytes], bytes]
    ) -> None:
        mirror = mnist.add_mirror(send)
        content = damage({**mnist.files, **compressed(mnist.files)}[name])
        write_files(mnist.folder, {name: content})
        with pytest.raises(DataError) as caught:
            get_data()
        assert str(caught.value) == error_message(mnist.folder / name)
        assert read_files(mnist.folder) == {name: content}
        assert mirror.requested == []

    def test_a_folder_with_the_name_of_a_file_is_named_before_a_download(
        self, mnist: Mnist
    ) -> None:
        mirror = mnist.add_mirror(send)
        (mnist.folder / TRAIN_LABELS).mkdir(parents=True)  # as some archives unpack
        with pytest.raises(DataError) as caught:
            get_data()
        assert str(caught.value) == error_message(mnist.folder / TRAIN_LABELS)
        assert mirror.requested == []
        write_files(mnist.folder, {x.replace("-idx", ".idx"): mnist.files[x] for x in mnist.files})
        assert len(get_data()[0]) == 200

    @pytest.mark.parametrize("place", ["file", "file/below"])
    def test_a_folder_that_cannot_be_made_is_named(
        self, mnist: Mnist, tmp_path: Path, monkeypatch: MonkeyPatch, place: str
    ) -> None:
        mirror = mnist.add_mirror(send)
        (tmp_path / "file").write_text("mine")
        monkeypatch.setenv("MNIST_DIR", str(tmp_path / place))
        with pytest.raises(OSError, match=str(tmp_path / "file")):
            get_data()
        assert mirror.requested == []
        assert (tmp_path / "file").read_text() == "mine"

    def test_a_folder_that_cannot_be_written_is_named_before_a_download(self, mnist: Mnist) -> None:
        mirror = mnist.add_mirror(send)
        refuse = (  # because the system refuses root nothing
            "def refuse(path, *_):\n"
            "    raise PermissionError(13, 'Permission denied', path)\n"
            "os.mkdir = refuse\n"
        )
        mnist.folder.mkdir(parents=True)
        with start_process(refuse) as process:
            *_, last = process.communicate()[1].splitlines()
        assert re.fullmatch(rf"PermissionError: .*Permission denied: '{mnist.folder}/.*'", last)
        assert mirror.requested == []

    def test_a_missing_sample_is_named_and_not_downloaded(
        self, mnist: Mnist, tmp_path: Path, monkeypatch: MonkeyPatch
    ) -> None:
        mirror = mnist.add_mirror(send)
        monkeypatch.setattr(import_data, "SAMPLE_FOLDER", tmp_path / "sample")
        with pytest.raises(DataError, match=f"^{tmp_path}/sample must contain {TRAIN_IMAGES} and "):
            get_data(folder=tmp_path / "sample")
        assert mirror.requested == []

    def test_two_simultaneous_first_runs_do_no_harm(self, mnist: Mnist) -> None:
        mnist.add_mirror(send_together(2))  # each file goes out when both have asked for it
        with start_process() as one, start_process() as other:
            assert [process.communicate()[0] for process in (one, other)] == ["200\n"] * 2
        assert read_files(mnist.folder).keys() == {TRAIN_IMAGES, TRAIN_LABELS}

    @pytest.mark.parametrize("method", ["write_bytes", "replace"])
    def test_a_run_that_is_killed_while_it_writes_does_no_harm(
        self, mnist: Mnist, method: str
    ) -> None:
        mnist.add_mirror(send)
        killed = (
            "def killed(path, *_):\n"
            "    with path.open('wb') as file: file.write(b'half')\n"
            "    os.kill(os.getpid(), 9)\n"
            f"pathlib.Path.{method} = killed\n"
        )
        with start_process(killed) as process:
            process.communicate()
        assert process.returncode == -9
        assert not any(path.is_file() for path in mnist.folder.iterdir())
        assert len(get_data()[0]) == 200

    def test_the_temporary_folder_of_the_system_is_not_used(
        self, mnist: Mnist, monkeypatch: MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
        mnist.add_mirror(send)
        assert len(get_data()[0]) == 200


@given(npst.arrays(np.uint8, npst.array_shapes(max_dims=4, min_side=0)))
def test_any_array_is_recovered_from_its_idx_file(items: NDArray[np.uint8]) -> None:
    assert np.array_equal(parse_idx(idx_file(items)), items)
