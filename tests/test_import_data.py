"""Tests of `import_data`: real files, real processes, and a real server for every kind of fault.

Most use a small "MNIST" of 200 and 100 made-up images.
"""

import contextlib
import gzip
import hashlib
import json
import re
import ssl
import struct
import subprocess
import sys
import tempfile
import threading
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

Files = dict[str, bytes]
MonkeyPatch = pytest.MonkeyPatch
Capture = pytest.CaptureFixture[str]


class Mnist(NamedTuple):
    """What takes the place of MNIST in a test."""

    files: Files  # made up, uncompressed
    folder: Path  # set by MNIST_DIR; it does not exist yet
    add_mirror: Callable[..., Mirror]  # starts one more mirror, which gives these answers


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
    """Put made-up files in the place of MNIST, which no mirror has yet."""
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


def start_process(preparation: str = "") -> "subprocess.Popen[str]":
    """Start a process that gets the training set with the settings that are in force here."""
    settings = {name: getattr(import_data, name) for name in ("MIRRORS", "SHA256")}
    program = (
        "import json, os, pathlib, requests, resource, sys, time, import_data\n"
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
    @pytest.mark.parametrize(("split", "other"), [("train", "test"), ("test", "train")])
    @pytest.mark.parametrize("hyphen", ["-idx", ".idx"])
    @pytest.mark.parametrize("ending", ["", ".gz"])
    def test_the_two_files_of_a_split_are_enough_in_each_spelling(
        self, mnist: Mnist, split: str, other: str, hyphen: str, ending: str
    ) -> None:
        files = {name: mnist.files[name] for name in import_data.SPLITS[split]}
        written = compressed(files) if ending else files
        write_files(mnist.folder, {x.replace("-idx", hyphen): written[x] for x in written})
        images, labels = get_data(split)
        pixels = np.frombuffer(files[import_data.SPLITS[split][0]][16:], np.uint8).reshape(-1, 784)
        assert images.dtype == labels.dtype == np.float32
        np.testing.assert_allclose(images, pixels / 255, rtol=1e-6)
        np.testing.assert_array_equal(labels, np.eye(10)[pixels[:, 0]])
        with pytest.raises(DownloadError):
            get_data(other)

    def test_a_folder_with_the_name_of_a_file_is_ignored(self, mnist: Mnist) -> None:
        (mnist.folder / TRAIN_IMAGES).mkdir(parents=True)  # as some archives are unpacked
        write_files(mnist.folder, {x.replace("-idx", ".idx"): mnist.files[x] for x in mnist.files})
        assert len(get_data()[0]) == 200

    def test_a_split_must_be_train_or_test(self) -> None:
        with pytest.raises(ValueError, match="split must be 'train' or 'test', not 'Train'"):
            get_data("Train")

    def test_only_missing_files_of_the_split_are_downloaded_and_kept(
        self, mnist: Mnist, capsys: Capture
    ) -> None:
        mirror = mnist.add_mirror(send)
        write_files(mnist.folder, {TRAIN_LABELS: mnist.files[TRAIN_LABELS]})
        for _ in range(2):
            assert len(get_data("train")[0]) == 200
        assert mirror.requested == [f"{TRAIN_IMAGES}.gz"]
        assert capsys.readouterr() == ("", f"Downloading {TRAIN_IMAGES} to {mnist.folder}\n")
        assert len(get_data("test")[0]) == 100
        assert read_files(mnist.folder) == mnist.files
        # A downloaded file has the permissions of any other.
        assert len({path.stat().st_mode for path in mnist.folder.iterdir()}) == 1

    @pytest.mark.parametrize(
        "variant",
        [str, lambda url: url.rstrip("/") + " ", lambda url: url.replace("http", "HTTP")],
    )
    def test_mnist_mirror_is_tried_first(
        self, mnist: Mnist, monkeypatch: MonkeyPatch, variant: Callable[[str], str]
    ) -> None:
        own, listed = mnist.add_mirror(send, status(404)), mnist.add_mirror(send)
        monkeypatch.setattr(import_data, "MIRRORS", (listed.url,))
        monkeypatch.setenv("MNIST_MIRROR", variant(own.url))
        assert len(get_data()[0]) == 200
        assert own.requested == [f"{TRAIN_IMAGES}.gz", f"{TRAIN_LABELS}.gz"]
        assert listed.requested == [f"{TRAIN_LABELS}.gz"]

    def test_mnist_mirror_must_be_a_url(self, mnist: Mnist, monkeypatch: MonkeyPatch) -> None:
        mirror = mnist.add_mirror(send)
        monkeypatch.setenv("MNIST_MIRROR", "foo")
        with pytest.raises(DataError, match=r"^MNIST_MIRROR must be a URL that begins"):
            get_data()
        assert mirror.requested == []

    @pytest.mark.parametrize(
        ("argument", "mnist_dir", "place"),
        [
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
        capsys: Capture,
        argument: str | None,
        mnist_dir: str,
        place: str,
    ) -> None:
        mnist.add_mirror(send)
        (tmp_path / "here").mkdir()
        monkeypatch.chdir(tmp_path / "here")
        monkeypatch.setattr(import_data, "__file__", str(tmp_path / "import_data.py"))
        monkeypatch.setenv("HOME", str(tmp_path / "home"))
        monkeypatch.setenv("MNIST_DIR", mnist_dir)
        get_data(folder=argument)
        assert (tmp_path / place / TRAIN_IMAGES).exists()
        assert capsys.readouterr().err.endswith(f" to {tmp_path / place}\n")

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
    """Fail if so many bytes are in use at any time in here."""
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
            (status(403), "403 Client Error: Forbidden"),
            (close_halfway, r"IncompleteRead.*|sent .* bytes that are not .*gz"),
            (send_bytes(b"<html>Please log in</html>"), "sent 26 bytes that are not .*gz"),
            (send_bytes(gzip.compress(bytes(20_000_000), 1)), "sent .* bytes that are not .*gz"),
            (never_end, "sent 1,00.* bytes that are not .*gz"),
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
        title, line = capsys.readouterr().err.splitlines()
        assert title == f"Downloading {TRAIN_IMAGES} and {TRAIN_LABELS} to {mnist.folder}"
        assert re.fullmatch(rf"{bad.host}: ({reason})", line)
        assert line.isprintable()

    @pytest.mark.parametrize("fault", [never_answer, stop_halfway, trickle(1_500, 0.1)])
    def test_a_mirror_that_is_too_slow_is_given_up_and_its_thread_ends(
        self, mnist: Mnist, capsys: Capture, monkeypatch: MonkeyPatch, fault: Answer
    ) -> None:
        monkeypatch.setattr(import_data, "PATIENCE_SECONDS", 1)
        monkeypatch.setattr(import_data, "SLOWEST_BYTES_PER_SECOND", 200_000)
        monkeypatch.setattr(import_data, "TIMEOUT", (2, 2))
        slow, _ = mnist.add_mirror(fault), mnist.add_mirror(send)
        before = set(threading.enumerate())
        assert len(get_data()[0]) == 200
        _, line = capsys.readouterr().err.splitlines()
        assert re.fullmatch(rf"{slow.host}: given up after [\d,]+ bytes in \d seconds", line)
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

    def test_all_mirrors_share_the_time_and_the_wait_is_idle(
        self, mnist: Mnist, monkeypatch: MonkeyPatch
    ) -> None:
        assert import_data.PATIENCE_SECONDS < 13  # then the sample is loaded, within 15 seconds
        monkeypatch.setattr(import_data, "PATIENCE_SECONDS", 1)
        lines: list[str] = []
        monkeypatch.setattr(import_data, "print_progress", lambda line, **_: lines.append(line))
        for _ in range(4):
            mnist.add_mirror(never_answer)
        with pytest.raises(DownloadError):
            get_data()
        waits = [line for line in lines if line.startswith("0 kB of")]  # one in a tenth of a second
        assert 4 <= len(waits) <= 16

    def test_a_thread_that_was_given_up_does_not_keep_the_program_from_ending(
        self, mnist: Mnist
    ) -> None:
        mnist.add_mirror(send)
        hang = "requests.get = lambda *_, **__: time.sleep(30)"
        with start_process(f"import_data.PATIENCE_SECONDS = 0.2\n{hang}") as process:
            assert " seconds" in process.communicate(timeout=20)[1]

    def test_if_no_mirror_delivers_the_error_says_why_and_what_to_do(
        self, mnist: Mnist, capsys: Capture
    ) -> None:
        first, second = mnist.add_mirror(send, status(503)), mnist.add_mirror(status(404))
        with pytest.raises(DownloadError) as caught:
            get_data("test")
        title, *reasons, way_out = str(caught.value).splitlines()
        assert title == f"{TEST_LABELS} could not be downloaded:"
        assert [reason.strip() for reason in reasons] == capsys.readouterr().err.splitlines()[1:]
        assert [reason.split()[0] for reason in reasons] == [f"{first.host}:", f"{second.host}:"]
        assert f"Put the files into {mnist.folder}, set MNIST_MIRROR" in way_out
        assert len(eval(way_out[way_out.index("get_data(") :])[0]) == 1_000  # the sample
        assert list(read_files(mnist.folder)) == [TEST_IMAGES]

    def test_a_url_that_cannot_be_parsed_has_a_reason_like_any_other_fault(
        self, mnist: Mnist, monkeypatch: MonkeyPatch, capsys: Capture
    ) -> None:
        monkeypatch.setenv("MNIST_MIRROR", "http://user:secret@my..mirror/")
        mnist.add_mirror(send)
        assert len(get_data()[0]) == 200
        _, line = capsys.readouterr().err.splitlines()
        assert re.fullmatch(r"my\.\.mirror: .*label.*", line)

    @pytest.mark.parametrize("split", ["train", "test"])
    def test_the_program_takes_both_splits_from_the_sample_if_one_cannot_be_downloaded(
        self, mnist: Mnist, split: str
    ) -> None:
        write_files(mnist.folder, {name: mnist.files[name] for name in import_data.SPLITS[split]})
        assert [len(images) for images, _ in load_mnist()] == [6_000, 1_000]

    def test_a_certificate_has_to_be_verified(
        self, mnist: Mnist, monkeypatch: MonkeyPatch, tmp_path: Path
    ) -> None:
        authority, tls = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(tls)
        monkeypatch.setenv("MNIST_MIRROR", mnist.add_mirror(send, tls=tls).url)
        with pytest.raises(DownloadError, match="certificate verify failed"):
            get_data()
        authority.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "authority.pem"))
        assert len(get_data()[0]) == 200

    def test_the_largest_file_of_mnist_is_not_too_large(self) -> None:
        content = bytes(16 + 60_000 * 28 * 28)
        assert import_data.uncompressed(gzip.compress(content, 1)) == content


@pytest.mark.unix
class TestFolder:
    @pytest.mark.parametrize("name", [TRAIN_IMAGES, f"{TRAIN_IMAGES}.gz", TEST_LABELS])
    @pytest.mark.parametrize(
        "damage",
        [
            lambda _: b"",
            lambda content: content[:-20],
            lambda content: content[:-20] + b"\x55" + content[-19:],
            lambda _: idx_file(np.ones((200, 28, 28), np.uint8)),  # of a different data set
        ],
    )
    def test_a_file_of_different_content_is_named_and_left_alone(
        self, mnist: Mnist, name: str, damage: Callable[[bytes], bytes]
    ) -> None:
        mirror = mnist.add_mirror(send)
        content = damage({**mnist.files, **compressed(mnist.files)}[name])
        write_files(mnist.folder, {name: content})
        with pytest.raises(DataError) as caught:
            get_data()
        where = mnist.folder / name
        assert str(caught.value) == (
            f"{where} is damaged or not from MNIST: remove it or choose a different folder, "
            "for example with MNIST_DIR"
        )
        assert read_files(mnist.folder) == {name: content}
        assert mirror.requested == []

    @pytest.mark.parametrize("place", ["file", "file/below", "~nobody-of-this-name/mnist"])
    def test_a_folder_that_cannot_be_used_is_named(
        self, mnist: Mnist, tmp_path: Path, monkeypatch: MonkeyPatch, place: str
    ) -> None:
        mirror = mnist.add_mirror(send)
        (tmp_path / "file").write_text("mine")
        path = place if place.startswith("~") else str(tmp_path / place)
        monkeypatch.setenv("MNIST_DIR", path)
        with pytest.raises(DataError, match=f"^The folder {path} cannot be used .*MNIST_DIR.*$"):
            get_data()
        assert mirror.requested == []
        assert (tmp_path / "file").read_text() == "mine"

    def test_a_folder_that_cannot_be_written_is_named_before_anything_is_downloaded(
        self, mnist: Mnist, monkeypatch: MonkeyPatch
    ) -> None:
        def refuse(*_: object) -> str:
            raise PermissionError(13, "Permission denied")  # root, for one, never meets it

        mirror = mnist.add_mirror(send)
        monkeypatch.setattr("tempfile.mkdtemp", refuse)
        message = f"^The folder {mnist.folder} cannot be used .*Permission denied.*MNIST_DIR"
        with pytest.raises(DataError, match=message):
            get_data()
        assert mirror.requested == []

    def test_a_sample_that_is_missing_is_not_downloaded(
        self, mnist: Mnist, tmp_path: Path, monkeypatch: MonkeyPatch
    ) -> None:
        mirror = mnist.add_mirror(send)
        monkeypatch.setattr(import_data, "SAMPLE_FOLDER", tmp_path / "sample")
        with pytest.raises(DataError, match=f"sample lacks .*: restore {tmp_path}/sample from"):
            get_data(folder=tmp_path / "sample")
        assert mirror.requested == []

    def test_a_full_disk_is_one_line_and_leaves_nothing(self, mnist: Mnist) -> None:
        mnist.add_mirror(send)
        with start_process("resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))") as process:
            *_, last = process.communicate()[1].splitlines()
        assert re.fullmatch(f".*DataError: .* {mnist.folder} .*too large.* MNIST_DIR", last)
        assert read_files(mnist.folder) == {}

    def test_two_first_starts_at_the_same_time_do_no_harm(self, mnist: Mnist) -> None:
        mnist.add_mirror(send_together(2))  # each file goes out when both have asked for it
        with start_process() as one, start_process() as other:
            assert [process.communicate()[0] for process in (one, other)] == ["200\n"] * 2
        assert read_files(mnist.folder).keys() == {TRAIN_IMAGES, TRAIN_LABELS}

    @pytest.mark.parametrize("method", ["write_bytes", "replace"])
    def test_a_start_that_is_killed_while_it_writes_does_no_harm(
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

    def test_the_folder_for_temporary_files_which_may_be_on_a_different_disk_is_not_used(
        self, mnist: Mnist, monkeypatch: MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
        mnist.add_mirror(send)
        assert len(get_data()[0]) == 200


class TestParseIdx:
    @given(npst.arrays(np.uint8, npst.array_shapes(max_dims=4, min_side=0)))
    def test_any_array_comes_back_from_its_file(self, items: NDArray[np.uint8]) -> None:
        assert np.array_equal(parse_idx(idx_file(items)), items)
