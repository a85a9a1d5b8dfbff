"""MNIST, 70,000 images of handwritten digits: fetched once, kept in a folder, checked and read.

Nothing is downloaded unless `get_data` finds that one of the four files is missing in the folder.
Importing this module neither downloads nor prints anything. A file from the folder or from a mirror
is used only if it has the SHA-256 below, so that no mirror has to be trusted.
"""

import contextlib
import hashlib
import math
import os
import sys
import tempfile
import threading
import time
import zlib
from pathlib import Path
from typing import TextIO

import numpy as np
from numpy.typing import ArrayLike, NDArray

# Tried in turn. The original site (yann.lecun.com) is not among them: it refuses downloads.
MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
    "https://raw.githubusercontent.com/fgnt/mnist/master/",
)
# The time in which a file must begin to come, shared among the mirrors: if none of them answers,
# the sample is used within 15 seconds.
PATIENCE_SECONDS = 12
SLOWEST_BYTES_PER_SECOND = 20_000  # on average; a mirror that sends less is given up
LARGEST_FILE = 50_000_000  # bytes: the images of the training set have 47 million, uncompressed
CONNECT_SECONDS = 2  # to one of the addresses of a mirror; after that the next address is tried
READ_SECONDS = 10  # the longest wait for more bytes
RETRY_AFTER_SECONDS = 60  # a download that has failed is not tried again sooner

SPLITS = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
# Of the uncompressed files, in the order in which they are downloaded: if something is wrong with
# the mirror or the folder, a small file shows it soon.
SHA256 = {
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
}
# The first tenth of MNIST comes with the program, for those who are offline.
SAMPLE_FOLDER = Path(__file__).resolve().parent / "tests" / "mnist_sample"

# When the last download failed (`time.monotonic`), for each folder and list of mirrors.
failed_downloads: dict[tuple[Path, tuple[str, ...]], float] = {}


class DataError(Exception):
    """MNIST cannot be used as it is; the message says why, and what to do about it."""


class DownloadError(Exception):
    """A mirror has not delivered a file; the message says why."""


def get_data(split: str = "train") -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the images and the labels of one split of MNIST.

    If the folder has all four files, they are used. If not, what is missing is downloaded to it. If
    no mirror delivers that, the bundled sample is used instead.

    The folder is the one that the environment variable MNIST_DIR names, or else `data` beside this
    module. Its files may be compressed (`.gz`) or not. MNIST_MIRROR can hold the URL of a folder
    that has the four `.gz` files; it is tried before the public mirrors. For a minute after a
    download has failed it is not tried again, so that the other split, when it is asked for next,
    comes from the sample as well. Progress is reported on stderr.

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
        If the folder cannot be read or written, or has a file that is not MNIST's, or if something
        has to be downloaded and MNIST_MIRROR does not begin with http:// or https://.
    """
    if split not in SPLITS:
        raise ValueError(f"split must be 'train' or 'test', not {split!r}")
    folder = Path(os.environ.get("MNIST_DIR") or Path(__file__).with_name("data"))
    try:
        folder = folder.expanduser().resolve()
        if missing_files(folder) and not download_missing(folder, split):
            folder = SAMPLE_FOLDER
        images, labels = (parse_idx(read_file(folder, name)) for name in SPLITS[split])
    except (OSError, RuntimeError) as error:  # RuntimeError: ~name, and there is no such user
        raise DataError(
            f"The folder {folder} cannot be used ({error}): set MNIST_DIR to another one"
        ) from error
    pixels = np.divide(images.reshape(-1, 784), 255, dtype=np.float32)
    return pixels, np.eye(10, dtype=np.float32)[labels]


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


def find_ink(picture: ArrayLike) -> NDArray[np.float64]:
    """Return the ink in a photo, scan or screenshot of one digit.

    The ink may be darker or lighter than the paper. A shadow may lie across the picture, and there
    may be specks, or rules of a form along the border.

    Parameters
    ----------
    picture : array of shape (height, width), (height, width, 3) or (height, width, 4)
        Grayscale, RGB or RGBA: uint8 from 0 (black) to 255 (white), or bool or floats from 0 to 1.

    Returns
    -------
    float64 array of shape (rows, columns)
        From 0 (paper) to 1 (ink), cut out around the digit, with at most 20 rows and 20 columns.

    Raises
    ------
    ValueError
        If `picture` is not as described, or has no ink.
    """
    brightness = shrink(brightness_on_white(picture), 112)  # four times the size of MNIST's images
    darkness, is_ink = separate(brightness)
    # Most of the four corners is paper, because strokes seldom reach them and rules are thin.
    size = min(is_ink.shape) // 6 + 1
    corners = np.arange(-size, size)  # negative indices count from the opposite border
    if is_ink[np.ix_(corners, corners)].mean() > 0.5:
        darkness, is_ink = 1 - darkness, ~is_ink  # the ink is lighter than the paper
    ink = np.where(belongs_to_digit(is_ink), darkness.clip(0, 1), 0)
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    # At the size of MNIST's digits the lines of a thin pen are faint, so the ink is scaled.
    ink = shrink(ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1], 20)
    ink /= ink.max()
    return ink


def brightness_on_white(picture: ArrayLike) -> NDArray[np.floating]:
    """Return the mean of red, green and blue, from 0 to 1, with white behind transparent pixels.

    Raises
    ------
    ValueError
        If `picture` is not as `find_ink` describes it.
    """
    pixels = np.asarray(picture)
    if pixels.size == 0 or (pixels.ndim != 2 and pixels.shape[2:] not in ((3,), (4,))):
        shapes = "(height, width), (height, width, 3) or (height, width, 4)"
        raise ValueError(f"picture must have the shape {shapes}, not {pixels.shape}")
    if pixels.dtype != np.uint8 and pixels.dtype.kind not in "bf":
        raise ValueError(f"picture must be of type uint8, bool or float, not {pixels.dtype}")
    white = 255 if pixels.dtype == np.uint8 else 1
    if not (pixels.min() >= 0 and pixels.max() <= white):  # either is NaN if a pixel is
        extremes = f"from {pixels.min():g} to {pixels.max():g}"
        raise ValueError(f"picture must be from 0 to 1 if it is of type float, not {extremes}")
    if pixels.ndim == 2:
        gray: NDArray[np.floating] = np.divide(pixels, white, dtype=np.float32)
        return gray
    color: NDArray[np.floating] = pixels[..., :3] @ np.full(3, 1 / (3 * white), np.float32)
    if pixels.shape[2] == 3:
        return color
    opacity: NDArray[np.floating] = np.divide(pixels[..., 3], white, dtype=np.float32)
    return 1 - opacity + opacity * color


def shrink(image: NDArray[np.floating], longest: int) -> NDArray[np.float64]:
    """Return an image with its longer side reduced to `longest` pixels, unless it is shorter."""
    scale = min(1, longest / max(image.shape))
    height, width = (max(1, round(scale * side)) for side in image.shape)
    shrunk: NDArray[np.float64] = (
        coverage(height, image.shape[0]) @ image @ coverage(width, image.shape[1]).T
    )
    return shrunk


def separate(brightness: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Separate dark pixels from light ones, where a shadow may lie across both.

    A shadow changes the brightness of paper and ink alike, by about the same amount per pixel of
    distance. So two parallel planes are fitted, one to the brightness of the light pixels and one
    to that of the dark ones, and their slope is subtracted. Otsu's threshold then divides the
    pixels. Because no pixel is known to be dark at first, the first fit is a single plane.

    Returns
    -------
    darkness : float64 array
        0 on the plane of the light pixels, 1 on that of the dark ones.
    is_dark : bool array

    Raises
    ------
    ValueError
        If the planes are less than 1/255 apart, the smallest difference in a uint8 picture.
    """
    row, column = np.indices(brightness.shape)
    is_dark = np.zeros(brightness.shape, bool)
    for _ in range(2):
        terms = np.stack([np.ones(brightness.shape), row, column, is_dark]).reshape(4, -1)
        fit = np.linalg.lstsq(terms.T, brightness.ravel(), rcond=None)[0]
        level, slope_down, slope_right, step = fit
        difference = brightness - (level + slope_down * row + slope_right * column)
        is_dark = difference < otsu_threshold(difference)
    if step > -1 / 255:
        raise ValueError("picture must have ink that is darker or lighter than its paper")
    return difference / step, is_dark


def otsu_threshold(values: NDArray[np.float64]) -> float:
    """Return the threshold that divides values into the two classes that differ most.

    The values below the threshold are one class, the others the second one. The variance between
    the two is the largest possible (Otsu 1979, A threshold selection method from gray-level
    histograms, equation 18).
    """
    values = np.sort(values, axis=None)
    below = np.arange(values.size)  # the number of values below each
    deviations = values - values.mean()
    sums = np.cumsum(deviations) - deviations  # of those below
    variance = sums**2 / np.maximum(below * (values.size - below), 1)  # between the classes
    return float(values[variance.argmax()])


def belongs_to_digit(is_ink: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return which pixels are ink of the digit, without specks and rules along the border.

    Each pixel of ink weighs the square of its distance from the border, so that connected parts
    weigh little if they are small or lie along the border. A part with less than a twentieth of the
    heaviest one's weight is left out.
    """
    down, right = (np.minimum(np.arange(n), np.arange(n)[::-1]) + 1 for n in is_ink.shape)
    weights = is_ink * np.minimum.outer(down, right) ** 2
    part = connected_parts(is_ink)
    weight_of_part = np.bincount(part.ravel(), weights.ravel())
    belongs: NDArray[np.bool_] = weight_of_part[part] >= weight_of_part.max() / 20
    return belongs


def connected_parts(is_ink: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Return a number for each pixel, the same for pixels that are connected by ink.

    Ink is connected to ink in the eight pixels around it. At first each pixel has a number of its
    own. Then the higher number of each connected pair becomes the lower one, until all pairs have
    equal numbers (Shiloach and Vishkin 1982, An O(log n) parallel connectivity algorithm).
    """
    padded = np.pad(is_ink, 1)
    width = padded.shape[1]
    pixels = np.flatnonzero(padded)
    pairs = np.hstack([(pixels, pixels + step) for step in (1, width - 1, width, width + 1)])
    pairs = pairs[:, padded.ravel()[pairs[1]]]
    number = np.arange(padded.size)
    while True:
        lower, higher = np.sort(number[pairs], axis=0)
        if (lower == higher).all():
            return number.reshape(padded.shape)[1:-1, 1:-1]
        np.minimum.at(number, higher, lower)
        number = number[number]


def missing_files(folder: Path) -> list[str]:
    """Return the names of the files of MNIST that a folder lacks, compressed and uncompressed."""
    present = {path.name for path in folder.iterdir()} if folder.exists() else set()
    return [name for name in SHA256 if name not in present and f"{name}.gz" not in present]


def read_file(folder: Path, name: str) -> bytes:
    """Return the uncompressed content of a file, or raise `DataError` if it is not MNIST's.

    The sample is not checked, as it is a part of this repository.
    """
    path = folder / name
    if not path.exists():
        path = folder / f"{name}.gz"
    content = uncompressed(path.read_bytes())
    if folder != SAMPLE_FOLDER and hashlib.sha256(content).hexdigest() != SHA256[name]:
        raise DataError(f"{path} is not MNIST's: remove it, or set MNIST_DIR to another folder")
    return content


def download_missing(folder: Path, split: str) -> bool:
    """Download what a folder lacks, and return whether it has all of MNIST now; say so if not."""
    own_mirror = os.environ.get("MNIST_MIRROR")
    if own_mirror and not own_mirror.startswith(("http://", "https://")):
        raise DataError(f"MNIST_MIRROR must begin with http:// or https://, not be {own_mirror!r}")
    mirrors = (own_mirror, *MIRRORS) if own_mirror else MIRRORS
    failed = failed_downloads.get((folder, mirrors))
    if failed is not None and time.monotonic() - failed < RETRY_AFTER_SECONDS:
        print_progress(
            f"The {split} set is from the bundled sample, too: no new try within a minute."
        )
        return False

    missing = missing_files(folder)
    for name in SHA256:
        if name not in missing:
            read_file(folder, name)  # a wrong file is an error now, and not after a download
    what = "MNIST (12 MB)" if len(missing) == 4 else f"{len(missing)} of the 4 files of MNIST"
    print_progress(f"Downloading {what} to {folder}")
    for mirror in mirrors:
        print_progress(f"Trying {mirror}", live=True)
        try:
            for name in missing_files(folder):
                body = download(f"{mirror.rstrip('/')}/{name}.gz", PATIENCE_SECONDS / len(mirrors))
                content = uncompressed(body)
                if hashlib.sha256(content).hexdigest() != SHA256[name]:
                    raise DownloadError(f"it sent {len(body):,} bytes that are not {name}.gz")
                store_file(folder, name, content)
        except DownloadError as error:
            print_progress(f"{mirror}: {error}")
        else:
            return True
    failed_downloads[folder, mirrors] = time.monotonic()
    print_progress("So this is the bundled sample, a tenth of MNIST. For all of it, go online and")
    print_progress("start again. (See README.md, The data, for other ways to get it.)")
    return False


def download(url: str, patience: float) -> bytes:
    """Return what is at a URL; raise a `DownloadError` if that fails or takes too long.

    Two limits hold, whatever the server does. At most `LARGEST_FILE` bytes are taken. And once
    `patience` seconds have passed, the average must not be below `SLOWEST_BYTES_PER_SECOND`.
    """
    name = url.rpartition("/")[2]
    transfer = Transfer(url)
    started = time.monotonic()
    try:
        transfer.start()
        while transfer.is_alive():
            size, seconds = len(transfer.body), time.monotonic() - started
            if seconds > patience and size < seconds * SLOWEST_BYTES_PER_SECOND:
                too_slow = f"too slow: {size / 1000:,.0f} kB in {seconds:.0f} seconds"
                raise DownloadError(too_slow if size else "no answer")
            if size:
                of_total = f" of {transfer.length / 1000:,.0f}" if transfer.length else ""
                print_progress(f"{name}: {size / 1000:,.0f}{of_total} kB", live=True)
            transfer.join(0.1)
    finally:
        transfer.wanted = False  # also after Ctrl-C, which in a notebook ends only the call
    if transfer.error:
        raise DownloadError(root_cause(transfer.error))
    print_progress(f"{name}: {len(transfer.body) / 1000:,.0f} kB")
    return bytes(transfer.body)


class Transfer(threading.Thread):
    """A download in a thread of its own, which can be left behind.

    That is needed because nothing can interrupt the look-up of a name. Once a server has answered,
    a thread that is no longer wanted ends within seconds: it looks whether it is wanted after each
    piece, and no wait is unlimited. (A hostile server can keep it busy, but nobody waits for it.)
    """

    def __init__(self, url: str) -> None:
        import requests  # here, because it takes 0.1 s, and most runs download nothing

        super().__init__(daemon=True)  # a program can end while it is still running
        self.get = requests.get
        self.url = url
        self.body = bytearray()  # what has come so far
        self.length = 0  # of the whole body, if the server has told it
        self.error: Exception | None = None
        self.wanted = True

    def run(self) -> None:
        """Fetch the body, piece by piece."""
        try:
            with self.get(
                self.url,
                stream=True,
                timeout=(CONNECT_SECONDS, READ_SECONDS),
                headers={"Accept-Encoding": "identity"},  # the file is compressed already
                # requests would read the body of a redirect, however long it is.
                hooks={"response": lambda r, **_: r.close() if r.is_redirect else None},
            ) as response:
                if response.status_code != 200:
                    name = self.url.rpartition("/")[2]
                    raise DownloadError(f"HTTP status {response.status_code} for {name}")
                self.length = min(int(response.headers.get("Content-Length", 0)), LARGEST_FILE)
                # Not `iter_content`: with older versions of urllib3 it has no limit on the length
                # of the line that tells the size of a chunk.
                while self.wanted and (piece := response.raw.read(10_000)):
                    self.body += piece
                    if len(self.body) > LARGEST_FILE:
                        raise DownloadError("it sends more than any file of MNIST has")
        except Exception as error:  # whatever it is, this mirror has failed
            self.error = error


def root_cause(error: BaseException) -> str:
    """Return what the libraries have wrapped, which may quote the server, as harmless text."""
    while error.__context__:
        error = error.__context__
    words = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return "".join(filter(str.isprintable, words))[:100]


def store_file(folder: Path, name: str, content: bytes) -> None:
    """Put a file into a folder so that it appears there complete, whatever happens meanwhile."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        path = Path(temporary) / name
        path.write_bytes(content)
        path.replace(folder / name)


def uncompressed(content: bytes) -> bytes:
    """Return the first member of a gzip file (RFC 1952), or the content itself if it is none.

    At most `LARGEST_FILE` bytes are returned, so that a small file cannot fill the memory.
    """
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
    start = 4 + 4 * content[3]  # of the items
    shape = [int.from_bytes(content[i : i + 4], "big") for i in range(4, start, 4)]
    if len(content) != start + math.prod(shape):
        raise ValueError(f"the header says {start + math.prod(shape)} bytes, not {len(content)}")
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def print_progress(line: str, *, live: bool = False) -> None:
    """Write a line on stderr; the next one takes the place of a live one.

    Only a terminal has live lines. They are shorter than it is wide, as a line that is continued in
    the next row could not be replaced.
    """
    if is_terminal(sys.stderr):
        try:
            width = os.get_terminal_size(2).columns or 80
        except OSError:
            width = 80
        blank = " " * (width - 1)
        text = line[: width - 1] if live else line
        print(f"\r{blank}\r{text}", end="" if live else "\n", file=sys.stderr, flush=True)
    elif not live:
        print(line, file=sys.stderr, flush=True)


def is_terminal(stream: TextIO) -> bool:
    """Return whether a stream is a terminal in which a line can be replaced.

    The shell of IDLE says that its streams are terminals, but they are none: they are not the
    process's own.
    """
    own = stream is sys.__stdout__ or stream is sys.__stderr__
    return own and stream.isatty() and os.environ.get("TERM") != "dumb"
