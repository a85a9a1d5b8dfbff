"""Fetch, check and read MNIST: 70,000 images of handwritten digits.

`get_data` takes the four files from a folder. What that lacks is downloaded, and where there is no
network, a tenth of MNIST that is bundled with the program has to do. A file from anywhere else must
have the SHA-256 below, so that no mirror has to be trusted.
"""

import contextlib
import functools
import hashlib
import math
import os
import sys
import tempfile
import threading
import time
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

# Tried in turn. The original site (yann.lecun.com) is not among them: it refuses downloads.
MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
    "https://raw.githubusercontent.com/fgnt/mnist/master/",
)
PATIENCE_SECONDS = 12  # for an answer, shared by the mirrors: the prompt has to come within 15
SLOWEST_BYTES_PER_SECOND = 20_000  # a slower download is given up
LARGEST_FILE = 50_000_000  # bytes, compressed or not: no file of MNIST has more

SPLITS = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
SHA256 = {  # of the uncompressed files
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
SAMPLE_FOLDER = Path(__file__).resolve().parent / "tests" / "mnist_sample"


class DataError(Exception):
    """MNIST cannot be used as it is; the message says why, and what to do about it."""


def get_data(split: str = "train") -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the images and labels of one split of MNIST, after downloading them if need be.

    The four files are looked for in the folder that the environment variable MNIST_DIR names, or
    else in `data` beside this module, compressed or not. If one is missing and no mirror delivers
    it, both splits come from the bundled sample. What is going on is told on stderr.

    Parameters
    ----------
    split : {"train", "test"}
        60,000 images to learn from (6,000 in the sample), or 10,000 to be tested on (1,000).

    Returns
    -------
    images : float32 array of shape (N, 784)
        Pixels from 0 (background) to 1 (ink), row by row.
    labels : float32 array of shape (N, 10)
        One-hot: a 1 in the column of the digit, 0 elsewhere.

    Raises
    ------
    ValueError
        If `split` is neither "train" nor "test".
    DataError
        If the folder cannot be read or written, or has a file of another content, or if the
        environment variable MNIST_MIRROR, which names a mirror to try first, is not a URL.
    """
    if split not in SPLITS:
        raise ValueError(f"split must be 'train' or 'test', not {split!r}")
    folder = Path(os.environ.get("MNIST_DIR") or Path(__file__).with_name("data"))
    folder = folder.expanduser().resolve()
    try:
        if missing_files(folder) and not download_missing(folder, os.environ.get("MNIST_MIRROR")):
            folder = SAMPLE_FOLDER
        images, labels = (parse_idx(read_file(folder, name)) for name in SPLITS[split])
    except OSError as error:
        raise DataError(
            f"The folder {folder} cannot be used ({error}): set MNIST_DIR to another one"
        ) from error
    return images.reshape(-1, 784) / np.float32(255), np.eye(10, dtype=np.float32)[labels]


def missing_files(folder: Path) -> list[str]:
    """Return the names of the files of MNIST that a folder lacks, be they compressed or not."""
    present = {path.name for path in folder.iterdir()} if folder.exists() else set()
    return [name for name in SHA256 if name not in present and f"{name}.gz" not in present]


def read_file(folder: Path, name: str) -> bytes:
    """Return the uncompressed content of a file, or raise `DataError` if it is not MNIST's.

    The sample is not checked: git guards it.
    """
    path = folder / name
    if not path.exists():
        path = folder / f"{name}.gz"
    content = uncompressed(path.read_bytes())
    if folder != SAMPLE_FOLDER and hashlib.sha256(content).hexdigest() != SHA256[name]:
        raise DataError(f"{path} is not MNIST's: remove it, or set MNIST_DIR to another folder")
    return content


@functools.cache  # so that in a notebook only the first call waits and prints
def download_missing(folder: Path, own_mirror: str | None) -> bool:
    """Download what a folder lacks, and return whether it is complete now; say so if it is not."""
    if own_mirror and not own_mirror.startswith(("http://", "https://")):
        raise DataError(f"MNIST_MIRROR must begin with http:// or https://, not be {own_mirror!r}")
    mirrors = (own_mirror, *MIRRORS) if own_mirror else MIRRORS
    missing = missing_files(folder)
    for name in SHA256.keys() - missing:
        read_file(folder, name)  # a wrong file is worth no download
    print_progress(f"MNIST is not complete in {folder}: downloading what is missing.")
    for mirror in mirrors:
        print_progress(f"Trying {mirror}")
        try:
            missing = missing_files(folder)
            for number, name in enumerate(missing, start=1):
                url = f"{mirror.rstrip('/')}/{name}.gz"
                title = f"Downloading {name}.gz ({number} of {len(missing)})"
                body = download(url, PATIENCE_SECONDS / len(mirrors), title)
                print_progress(f"{title}: {len(body) / 1e6:.1f} MB")
                content = uncompressed(body)
                if hashlib.sha256(content).hexdigest() != SHA256[name]:
                    raise ConnectionError("it sent something else (a log-in page, perhaps)")
                store_file(folder, name, content)
        except ConnectionError as error:
            print_progress(f"  failed: {error}")
        else:
            print_progress(f"MNIST is now kept in {folder}")
            return True
    print_progress("Going on with the bundled sample. For the full set, go online and start again,")
    print_progress(f"or put these files into {folder}")
    for name in missing_files(folder):
        print_progress(f"  {name}.gz")
    return False


def download(url: str, patience: float, title: str) -> bytes:
    """Return what is at a URL, or raise `ConnectionError`.

    No library limits how long the look-up of a name takes, so the request runs in a thread that can
    be left behind. Two limits hold, whatever the server does: one on the bytes, and one on the time
    that they take, as enough of them have to come in each period of `patience` seconds.
    """
    import requests  # here, because it takes 0.1 s and most runs download nothing

    body, length, size = bytearray(), 0, 0
    checked = arrived = time.monotonic()
    failure: BaseException | None = None

    def receive() -> None:
        nonlocal length, arrived, failure
        try:
            with requests.get(
                url,
                stream=True,
                headers={"Accept-Encoding": "identity"},  # the file is compressed already
                # requests would read the body of a redirect, however long it is.
                hooks={"response": lambda r, **_: r.close() if r.is_redirect else None},
            ) as response:
                if response.status_code != 200:
                    raise ConnectionError(f"HTTP status {response.status_code}")
                length = min(int(response.headers.get("Content-Length", 0)), LARGEST_FILE)
                for chunk in response.raw.stream(64):  # small: it comes when it is full
                    body.extend(chunk)
                    arrived = time.monotonic()
                    if len(body) > LARGEST_FILE:
                        raise ConnectionError("it sends more than any file of MNIST has")
        except Exception as error:  # whatever it is, this mirror has failed
            failure = error

    thread = threading.Thread(target=receive, daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(0.1)
        total = f" of {length / 1e6:.1f}" if length else ""
        print_progress(f"{title}: {len(body) / 1e6:.1f}{total} MB" if body else "", end="")
        if time.monotonic() - checked > patience:
            if len(body) - size < patience * SLOWEST_BYTES_PER_SECOND:
                silent = time.monotonic() - arrived > patience / 4
                reason = "it stopped" if silent else "it is too slow"
                raise ConnectionError(f"{reason} ({len(body):,} bytes)" if body else "no answer")
            checked, size = time.monotonic(), len(body)
    if failure:
        raise ConnectionError(root_cause(failure))
    return bytes(body)


def root_cause(error: BaseException) -> str:
    """Return what the libraries have wrapped, which may quote the server, as harmless text."""
    while error.__context__:
        error = error.__context__
    return "".join(filter(str.isprintable, str(error)))[:100]


def store_file(folder: Path, name: str, content: bytes) -> None:
    """Put a file into a folder so that it appears there complete, whatever happens meanwhile."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        path = Path(temporary) / name
        path.write_bytes(content)
        path.replace(folder / name)


def uncompressed(content: bytes) -> bytes:
    """Return what a gzip file (RFC 1952) holds, or the content itself if it is none."""
    with contextlib.suppress(zlib.error):
        return zlib.decompressobj(wbits=zlib.MAX_WBITS | 16).decompress(content, LARGEST_FILE)
    return content


def parse_idx(content: bytes) -> NDArray[np.uint8]:
    """Return the array of unsigned bytes that an IDX file holds.

    Such a file begins with two zero bytes, a type code, the number of dimensions, and the size of
    each as a big-endian 32-bit number; the items follow (LeCun, Cortes and Burges, The MNIST
    database of handwritten digits, section "File formats").

    Raises
    ------
    ValueError
        If `content` is not a complete, uncompressed IDX file of unsigned bytes.
    """
    if content[:3] != b"\0\0\x08" or len(content) < 4:
        raise ValueError("an IDX file of unsigned bytes must begin with the bytes 0, 0, 8")
    items = 4 + 4 * content[3]  # where they start
    shape = [int.from_bytes(content[i : i + 4], "big") for i in range(4, items, 4)]
    if len(content) != items + math.prod(shape):
        raise ValueError(f"the header says {items + math.prod(shape)} bytes, not {len(content)}")
    return np.frombuffer(content, np.uint8, offset=items).reshape(shape)


def print_progress(line: str, end: str = "\n") -> None:
    """Write a line on stderr; one without an end is live: a terminal draws the next over it."""
    if sys.stderr.isatty() and os.environ.get("TERM") != "dumb":
        print(f"\r{'':79}\r{line}", end=end, file=sys.stderr, flush=True)
    elif end:
        print(line, file=sys.stderr, flush=True)
