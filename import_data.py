"""MNIST, 70,000 images of handwritten digits: download its four files once, verify and read them.

Importing this module neither downloads nor prints anything.
"""

import contextlib
import hashlib
import os
import shutil
import sys
import tempfile
import threading
import time
import zlib
from pathlib import Path
from typing import TextIO

import numpy as np
from numpy.typing import ArrayLike, NDArray

SPLITS = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
# Hashes of the uncompressed files. Only files that match are used, so no mirror has to be trusted.
SHA256 = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
LARGEST_FILE = 50_000_000  # bytes; the training images have 47 million, uncompressed

# The first tenth of each split. It comes with the code, so it is not verified.
SAMPLE_FOLDER = Path(__file__).resolve().parent / "tests" / "mnist_sample"


class DataError(Exception):
    """MNIST cannot be used as it is; the message says why and what to do."""


class DownloadError(DataError):
    """A download failed; the message says why."""


def get_data(
    split: str = "train", *, folder: str | os.PathLike[str] | None = None
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the images and labels of one split of MNIST.

    The two files of the split are read from a folder. They may be compressed (`.gz`) or not, and
    their names may have a dot instead of the second hyphen (`train-images.idx3-ubyte`). Missing
    files are downloaded to the folder, and progress is reported on stderr. The environment variable
    MNIST_MIRROR can be set to the URL of a folder that has the four files as `.gz`, with hyphens in
    their names; it is tried before the public mirrors.

    Parameters
    ----------
    split : {"train", "test"}
        The 60,000 training images or the 10,000 test images.
    folder : path, optional
        By default the folder set by the environment variable MNIST_DIR, or else `data` beside this
        module. `SAMPLE_FOLDER` has the first 6,000 training images and the first 1,000 test images.

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
    DownloadError
        If a file is missing and no mirror delivers it.
    DataError
        If the folder cannot be used or has a file that is not MNIST's, or if a file is missing and
        MNIST_MIRROR is not a URL. `DownloadError` is a subclass.
    """
    if split not in SPLITS:
        raise ValueError(f"split must be 'train' or 'test', not {split!r}")
    folder = Path(folder or os.environ.get("MNIST_DIR") or Path(__file__).with_name("data"))
    try:
        folder = folder.expanduser().resolve()
        if missing_files(folder, split):
            download(folder, split)
        images, labels = (parse_idx(read_file(folder, name)) for name in SPLITS[split])
    except (OSError, RuntimeError) as error:  # RuntimeError: ~user, if there is no such user
        raise DataError(
            f"The folder {folder} cannot be used ({error}): set MNIST_DIR to a different folder"
        ) from error
    pixels = np.divide(images.reshape(-1, 784), 255, dtype=np.float32)
    return pixels, np.eye(10, dtype=np.float32)[labels]


def find_file(folder: Path, name: str) -> Path:
    """Return the path of a file in any of its four spellings, or of `name` if there is none."""
    dotted = name.replace("-idx", ".idx")
    paths = [folder / spelling for spelling in (name, dotted, f"{name}.gz", f"{dotted}.gz")]
    return next(filter(Path.is_file, paths), paths[0])


def missing_files(folder: Path, split: str) -> list[str]:
    """Return the names of the files of a split that a folder lacks."""
    return [name for name in SPLITS[split] if not find_file(folder, name).is_file()]


def read_file(folder: Path, name: str) -> bytes:
    """Return the uncompressed content of a file, or raise a `DataError` if it is not MNIST's."""
    path = find_file(folder, name)
    content = uncompressed(path.read_bytes())
    if folder != SAMPLE_FOLDER and hashlib.sha256(content).hexdigest() != SHA256[name]:
        raise DataError(
            f"{path} is damaged or not from MNIST: remove it or set MNIST_DIR to a different folder"
        )
    return content


def uncompressed(content: bytes) -> bytes:
    """Return what a gzip file holds, at most `LARGEST_FILE` bytes, or else the content itself."""
    with contextlib.suppress(zlib.error):
        return zlib.decompressobj(wbits=zlib.MAX_WBITS | 16).decompress(content, LARGEST_FILE)
    return content


def parse_idx(content: bytes) -> NDArray[np.uint8]:
    """Return the array of bytes that an IDX file holds.

    Its fourth byte is the number of dimensions. The size of each follows as a big-endian 32-bit
    integer, and then the items (LeCun, Cortes and Burges, The MNIST database of handwritten digits,
    section "File formats").
    """
    start = 4 + 4 * content[3]
    shape = np.frombuffer(content[4:start], ">u4")
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


# Tried in turn. The original site, yann.lecun.com, is not one of them: it refuses downloads.
MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
    "https://raw.githubusercontent.com/fgnt/mnist/master/",
)
# The mirrors share PATIENCE_SECONDS, so the program falls back to the sample within 15 seconds if
# none of them answers. For each SLOWEST_BYTES_PER_SECOND received, a mirror has one more second.
PATIENCE_SECONDS = 12
SLOWEST_BYTES_PER_SECOND = 20_000
TIMEOUT = (2, 10)  # seconds to connect to one address of a server, and to wait for more data


def download(folder: Path, split: str) -> None:
    """Download the files of a split that a folder lacks; raise a `DownloadError` if that fails."""
    names = " and ".join(missing_files(folder, split))
    if folder == SAMPLE_FOLDER:
        raise DataError(f"The bundled sample lacks {names}: restore {folder} from the repository")
    mirrors = mirror_urls()
    for name in SHA256:
        if find_file(folder, name).is_file():
            read_file(folder, name)  # a wrong file is an error with and without a network

    failures = []
    folder.mkdir(parents=True, exist_ok=True)
    # A file is moved to its place when it is complete, so no program ever reads a part of it. The
    # temporary folder is made first because a download is useless if nothing can be written.
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        print_progress(f"Downloading {names} to {folder}")
        for mirror in mirrors:
            try:
                for name in missing_files(folder, split):
                    content = fetch(mirror, name, PATIENCE_SECONDS / len(mirrors))
                    Path(temporary, name).write_bytes(content)
                    Path(temporary, name).replace(folder / name)
                return
            except DownloadError as error:
                failures.append(f"{host(mirror)}: {error}")
                print_progress(failures[-1])
    names = " and ".join(missing_files(folder, split))
    raise DownloadError(
        "\n    ".join([f"{names} could not be downloaded:", *failures])
        + f"\nPut the files into {folder}, set MNIST_MIRROR to the URL of a different mirror, "
        f"or use the bundled sample: get_data({split!r}, folder={str(SAMPLE_FOLDER)!r})"
    )


def mirror_urls() -> list[str]:
    """Return the URLs of the mirrors, the user's own one first."""
    own = os.environ.get("MNIST_MIRROR", "").strip()
    if own and not own.lower().startswith(("http://", "https://")):
        raise DataError(f"MNIST_MIRROR must begin with http:// or https://, but is {own!r}")
    return [own, *MIRRORS] if own else [*MIRRORS]


def host(url: str) -> str:
    """Return the host of a URL, without a user name and password."""
    return url.split("/")[2].rpartition("@")[2]


def fetch(mirror: str, name: str, patience: float) -> bytes:
    """Return the uncompressed content of a file from a mirror, or raise a `DownloadError`.

    The request runs in a thread that can be left behind, because nothing interrupts the look-up of
    a name, and `requests` has no time limit for all the addresses of a server together.
    """
    import requests  # here, because it takes 0.1 s and most starts download nothing

    body = bytearray()
    errors: list[Exception] = []
    given_up = threading.Event()

    def receive() -> None:
        try:
            url = f"{mirror.rstrip('/')}/{name}.gz"
            with requests.get(url, stream=True, timeout=TIMEOUT) as response:
                response.raise_for_status()
                for piece in response.iter_content(4096):
                    body.extend(piece)
                    if given_up.is_set() or len(body) > LARGEST_FILE:
                        break
        except Exception as error:  # whatever it is, this mirror has failed
            errors.append(error)

    thread = threading.Thread(target=receive, daemon=True)
    thread.start()
    started = time.monotonic()
    try:
        while thread.is_alive():
            print_progress(
                f"{len(body) / 1000:,.0f} kB of {name}.gz from {host(mirror)}", live=True
            )
            thread.join(0.1)
            seconds = time.monotonic() - started
            if seconds > patience + len(body) / SLOWEST_BYTES_PER_SECOND:
                raise DownloadError(f"only {len(body):,} bytes in {seconds:.0f} seconds")
    finally:
        given_up.set()  # after Ctrl-C, too
    if errors:
        raise DownloadError(reason(errors[0]))
    content = uncompressed(bytes(body))
    if hashlib.sha256(content).hexdigest() != SHA256[name]:
        raise DownloadError(f"sent {len(body):,} bytes that are not {name}.gz")
    print_progress("", live=True)  # erases the last live line
    return content


def reason(error: BaseException) -> str:
    """Return in one line why a request failed: the innermost error, which the others wrap."""
    while error.__context__:
        error = error.__context__
    words = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(words.partition(" for url: ")[0].split())


def print_progress(line: str, *, live: bool = False) -> None:
    """Print a line on stderr. In a terminal, a live line is replaced by the next line.

    A live line is cut to the width of the terminal because a line that wraps cannot be replaced.
    """
    if is_terminal(sys.stderr):
        width = shutil.get_terminal_size().columns - 1
        print("\r" + " " * width, end="\r", file=sys.stderr)
        print(line[:width] if live else line, end="" if live else "\n", file=sys.stderr, flush=True)
    elif not live:
        print(line, file=sys.stderr, flush=True)


def is_terminal(stream: TextIO) -> bool:
    """Return whether a stream is a terminal in which a line can be replaced.

    The shell of IDLE claims to be a terminal but cannot replace a line. Its streams are not those
    of the process.
    """
    own = stream is sys.__stdout__ or stream is sys.__stderr__
    return own and stream.isatty() and os.environ.get("TERM") != "dumb"


def as_mnist(picture: ArrayLike) -> NDArray[np.float32]:
    """Return a picture of a digit as the makers of MNIST would have prepared it.

    They cut the digit out, fitted it into 20 x 20 pixels, with its proportions kept, and placed it
    in 28 x 28 pixels so that its centre of mass is in the middle (LeCun, Cortes and Burges, The
    MNIST database of handwritten digits). If that would push ink out of the frame, it is placed as
    near to that position as possible.

    Parameters
    ----------
    picture : array of shape (height, width)
        From 0 (background) to 1 (ink).

    Returns
    -------
    float32 array of shape (784,)

    Raises
    ------
    ValueError
        If `picture` is not as described, or has no ink.
    """
    ink = np.asarray(picture, np.float64)
    if ink.ndim != 2:
        raise ValueError(f"picture must have two dimensions, not {ink.ndim}")
    if not ink.any():
        raise ValueError("picture must have some ink: a pixel above 0")
    if not (ink.min() >= 0 and ink.max() <= 1):  # either is NaN if a pixel is
        raise ValueError(f"picture must be from 0 to 1, not from {ink.min():g} to {ink.max():g}")
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    ink = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    height, width = (max(1, round(20 * side / max(ink.shape))) for side in ink.shape)
    ink = coverage(height, ink.shape[0]) @ ink @ coverage(width, ink.shape[1]).T
    # In MNIST the centre of mass is in row 14 and column 14 (of 0 to 27), to within half a pixel.
    top = round(14 - np.average(np.arange(height), weights=ink.sum(axis=1)))
    left = round(14 - np.average(np.arange(width), weights=ink.sum(axis=0)))
    top, left = min(max(top, 0), 28 - height), min(max(left, 0), 28 - width)
    image = np.zeros((28, 28), np.float32)
    image[top : top + height, left : left + width] = ink
    return image.ravel()


def coverage(count: int, length: int) -> NDArray[np.float64]:
    """Return how `count` equal parts cover `length` pixels: a row of weights for each part.

    `coverage(count, length) @ pixels` are the means of what the parts cover. Where a part ends
    within a pixel, that pixel counts as much as is covered of it.
    """
    edges = np.linspace(0, length, count + 1)[:, np.newaxis]
    pixels = np.arange(length)
    overlap = np.minimum(edges[1:], pixels + 1) - np.maximum(edges[:-1], pixels)
    weights: NDArray[np.float64] = np.maximum(overlap, 0) * (count / length)
    return weights
