"""Download, verify and read the MNIST files, and turn pictures into images like those of MNIST.

Importing this module neither downloads nor prints anything.
"""

from __future__ import annotations

import contextlib
import hashlib
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

# MNIST's files

# The names and the hashes of the uncompressed files. Only a file that matches is used, so the
# mirrors need not be trusted.
SHA256 = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
SPLITS = {"train": list(SHA256)[:2], "test": list(SHA256)[2:]}
LARGEST_FILE = 50_000_000  # bytes; the training images take 47 million, uncompressed

# The first tenth of each split, which comes with the code and is therefore not verified
SAMPLE_FOLDER = Path(__file__).resolve().parent / "tests" / "mnist_sample"


class DataError(Exception):
    """MNIST cannot be read; the message says why and what to do."""


class DownloadError(DataError):
    """A file cannot be downloaded from one mirror (`fetch`) or from any of them (`get_data`)."""


def get_data(
    split: str = "train", *, folder: str | os.PathLike[str] | None = None
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the images and labels of one split of MNIST.

    The two files of the split are read from a folder. They may be gzipped (`.gz`) or not, and their
    names may have a dot before `idx` (`train-images.idx3-ubyte`). Missing files are downloaded to
    the folder, and progress is reported on stderr. The environment variable MNIST_MIRROR can be set
    to the URL of a folder that contains the four files, gzipped, with hyphens in their names; it is
    tried before the public mirrors.

    Parameters
    ----------
    split : {"train", "test"}
        The 60,000 training images or the 10,000 test images.
    folder : path, optional
        By default the folder set by the environment variable MNIST_DIR, or else `data` beside this
        module. `SAMPLE_FOLDER` contains the first 6,000 training images and the first 1,000 test
        images.

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
        If a file is missing and cannot be downloaded.
    DataError
        If a file has different content, if the sample is incomplete, or if MNIST_MIRROR is needed
        and is no http or https URL. `DownloadError` is a subclass.
    OSError
        If the folder cannot be read or written.
    """
    if split not in SPLITS:
        raise ValueError(f"split must be 'train' or 'test', not {split!r}")
    folder = Path(folder or os.environ.get("MNIST_DIR") or Path(__file__).with_name("data"))
    folder = folder.expanduser().resolve()
    # Existing files are verified before missing ones are downloaded.
    paths = {name: find_file(folder, name) for name in SPLITS[split]}
    files = {name: read_file(path, name) for name, path in paths.items() if path}
    if missing := [name for name, path in paths.items() if not path]:
        files |= download(folder, missing)
    images, labels = (parse_idx(files[name]) for name in paths)
    pixels = np.divide(images.reshape(-1, 784), 255, dtype=np.float32)
    return pixels, np.eye(10, dtype=np.float32)[labels]


def find_file(folder: Path, name: str) -> Path | None:
    """Return the path with one of a file's four names: a file, or else a folder, or else None."""
    dotted = name.replace("-idx", ".idx")
    paths = [folder / spelling for spelling in (name, dotted, f"{name}.gz", f"{dotted}.gz")]
    return next(filter(Path.is_file, paths), None) or next(filter(Path.is_dir, paths), None)


def read_file(path: Path, name: str) -> bytes:
    """Return the uncompressed content of a file, verified unless it is part of the sample."""
    content = b"" if path.is_dir() else uncompressed(path.read_bytes())
    if path.parent != SAMPLE_FOLDER and hashlib.sha256(content).hexdigest() != SHA256[name]:
        raise DataError(f"{path} is damaged or not MNIST's: remove or rename it, or set MNIST_DIR")
    return content


def uncompressed(content: bytes) -> bytes:
    """Return the content of a gzip file, up to `LARGEST_FILE` bytes, and any other unchanged."""
    with contextlib.suppress(zlib.error):
        # 16 stands for gzip.
        return zlib.decompressobj(wbits=zlib.MAX_WBITS | 16).decompress(content, LARGEST_FILE)
    return content


def parse_idx(content: bytes) -> NDArray[np.uint8]:
    """Return the array of bytes in an IDX file.

    Its fourth byte is the number of dimensions. The size of each follows as a big-endian 32-bit
    integer, and then come the items (LeCun, Cortes and Burges, The MNIST database of handwritten
    digits, section "File formats", web.archive.org/web/2020/http://yann.lecun.com/exdb/mnist).
    """
    start = 4 + 4 * content[3]
    shape = np.frombuffer(content[4:start], ">u4")
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


# Download

# Tried in turn. The original site, yann.lecun.com, is left out because it refuses downloads.
MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
    "https://raw.githubusercontent.com/fgnt/mnist/master/",
)
# A mirror has PATIENCE_SECONDS for a file, and another second for every SLOWEST_BYTES_PER_SECOND
# bytes received. If no public mirror answers, the program falls back to the sample within 15
# seconds.
PATIENCE_SECONDS = 4
SLOWEST_BYTES_PER_SECOND = 20_000
TIMEOUT = (2, 4)  # seconds to connect to one address of a server, and to wait for more data


def download(folder: Path, names: list[str]) -> dict[str, bytes]:
    """Download files to a folder and return their uncompressed content.

    After the first failure of a mirror, the next one takes over. The exceptions are those of
    `get_data`.
    """
    if folder == SAMPLE_FOLDER:
        raise DataError(f"{folder} must contain {' and '.join(names)}")
    own_mirror = os.environ.get("MNIST_MIRROR", "").strip()
    if own_mirror and not own_mirror.lower().startswith(("http://", "https://")):
        raise DataError("MNIST_MIRROR must be a URL that begins with http:// or https://")
    print(f"Downloading missing MNIST files to\n{folder}", file=sys.stderr)
    folder.mkdir(parents=True, exist_ok=True)
    files: dict[str, bytes] = {}
    # A file is moved into place once complete, so no program ever reads part of a file. The
    # temporary folder is made first because a download is useless if nothing can be written.
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        for mirror in filter(None, (own_mirror, *MIRRORS)):
            host = "MNIST_MIRROR" if mirror == own_mirror else mirror.split("/")[2]
            print(f"Trying {host}", file=sys.stderr)
            try:
                for name in names:
                    if name not in files:
                        content = fetch(mirror, name)
                        Path(temporary, name).write_bytes(content)
                        Path(temporary, name).replace(folder / name)
                        files[name] = content
                return files
            except DownloadError as error:
                print(f"  {error}", file=sys.stderr)
    missing = " and ".join(name for name in names if name not in files)
    raise DownloadError(
        f"{missing} could not be downloaded: put the files into {folder}, set MNIST_MIRROR to the "
        "URL of a mirror, or use the bundled sample: get_data(..., folder=SAMPLE_FOLDER)"
    )


def fetch(mirror: str, name: str) -> bytes:
    """Return the uncompressed content of a file from a mirror, or raise a `DownloadError`."""
    started = time.monotonic()
    body = receive(f"{mirror.rstrip('/')}/{name}.gz", name)
    content = uncompressed(body)
    if hashlib.sha256(content).hexdigest() != SHA256[name]:
        seconds = time.monotonic() - started
        raise DownloadError(f"did not deliver {name}.gz: {len(body):,} bytes in {seconds:.0f} s")
    return content


def receive(url: str, name: str) -> bytes:
    """Return what a server sends until it ends, is late or has sent too much, and show progress.

    The request runs in a thread so that it can be abandoned: a DNS lookup cannot be interrupted,
    and `requests` does not limit the total time.
    """
    import requests  # here, because importing it takes 0.1 s, and most runs download nothing

    body = bytearray()
    size = 0  # of the complete body, if the server reports it
    errors: list[Exception] = []
    started = time.monotonic()

    def is_over() -> bool:
        allowed = PATIENCE_SECONDS + len(body) / SLOWEST_BYTES_PER_SECOND
        return time.monotonic() - started > allowed or len(body) > LARGEST_FILE

    def request() -> None:
        nonlocal size
        try:
            with requests.get(url, stream=True, timeout=TIMEOUT) as response:
                if not response.ok:
                    raise DownloadError(f"{response.status_code} {response.reason}")
                size = response.raw.length_remaining or 0
                for piece in response.iter_content(4096):
                    body.extend(piece)
                    if is_over():
                        break
        except Exception as error:  # whatever it is, this mirror has failed
            errors.append(error)

    thread = threading.Thread(target=request, daemon=True)
    thread.start()
    waiting, live = True, is_terminal(sys.stderr)
    while waiting:
        thread.join(0.1)
        waiting = thread.is_alive() and not is_over()
        if live and body:
            total = f" of {size / 1e6:.2f}" if size else ""
            progress = f"\r  {name}: {len(body) / 1e6:.2f}{total} MB"
            print(progress, end="" if waiting else "\n", file=sys.stderr)
    if errors:
        raise DownloadError(reason(errors[0]))
    return bytes(body)


def reason(error: BaseException) -> str:
    """Return the reason for a failed request in one line: the innermost error, unwrapped."""
    from requests.exceptions import ProxyError

    if isinstance(error, ValueError):
        return "the URL of the mirror or proxy cannot be used"  # the error may quote a password
    proxy = "the proxy failed: " if isinstance(error, ProxyError) else ""
    while inner := error.__cause__ or (None if error.__suppress_context__ else error.__context__):
        error = inner
    return proxy + (" ".join(str(error).split()) or type(error).__name__)


# From a picture to an image like MNIST's


def find_ink(picture: ArrayLike) -> NDArray[np.float64]:
    """Return the ink in a photo, scan or screenshot of one digit.

    The ink may be darker or lighter than the paper, and the light may fall off evenly from one side
    to the other. Specks and the lines of a form along the border are left out. The paper must fill
    the picture because a desk around it would be mistaken for paper or ink. Dark corners or the
    hard edge of a shadow can hide the ink or be mistaken for it.

    Parameters
    ----------
    picture : array of shape (height, width), (height, width, 3) or (height, width, 4)
        Grayscale, RGB or RGBA: uint8 from 0 (black) to 255 (white), or bool or float from 0 to 1.
        Transparent pixels are white, so white ink on a transparent background is invisible.

    Returns
    -------
    float64 array of shape (rows, columns)
        From 0 (paper) to 1 (ink), cropped to the digit. The longer side is 20 pixels, as in MNIST.

    Raises
    ------
    ValueError
        If `picture` is not as described, or if nothing stands out from the paper. Blank paper
        passes if the hard edge of a shadow, a fold, a speck or ruled lines stand out.
    """
    brightness = brightness_on_white(picture)
    # With 112 pixels a side, even a small digit keeps its shape. With 56, noise is averaged away,
    # so faint ink stands out, whereas blank paper stays blank.
    darkness, is_ink, contrast = separate(fit(brightness, min(112, max(brightness.shape))))
    # Blank paper has a contrast of 2.6 if its noise is normally distributed, and up to 4.1 if it
    # has texture or soft shadows.
    if max(contrast, separate(fit(brightness, 56))[2]) < 4.2:
        raise ValueError("picture must have ink that stands out from evenly lit paper")
    # Squares in the corners, about a sixth of the shorter side, are mostly paper: strokes seldom
    # reach them, and the lines of a form are thinner.
    size = min(is_ink.shape) // 6 + 1
    corners = np.arange(-size, size)  # negative indices count from the opposite border
    if is_ink[np.ix_(corners, corners)].mean() > 0.5:
        darkness, is_ink = 1 - darkness, ~is_ink  # the ink is lighter than the paper
    ink = np.where(belongs_to_digit(is_ink), darkness.clip(0, 1), 0)
    ink = fit(crop(ink), 20)
    # Shrinking makes thin lines faint, so the darkest quarter of the inked pixels becomes full ink.
    return np.minimum(ink / np.quantile(ink[ink > 0], 0.75), 1)


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
        raise ValueError(f"picture must have shape {shapes}, not {pixels.shape}")
    white = 255 if pixels.dtype == np.uint8 else 1
    if not (pixels.min() >= 0 and pixels.max() <= white):  # both are NaN if a pixel is
        extremes = f"from {pixels.min():g} to {pixels.max():g}"
        raise ValueError(f"picture must have dtype uint8 or values from 0 to 1, not {extremes}")
    channels = np.atleast_3d(pixels)
    brightness = channels[..., :3].mean(axis=2, dtype=np.float32) / white
    if channels.shape[2] == 4:
        opacity = channels[..., 3] / np.float32(white)
        brightness = opacity * brightness + (1 - opacity)
    return brightness


def separate(
    brightness: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.bool_], float]:
    """Separate the dark pixels of a picture from the light ones, even if the light falls off.

    The brightness of the light pixels is approximated by a plane, and that of the dark pixels by a
    parallel plane. The planes are fitted in two rounds: first a single plane, since no pixel is
    known to be dark yet, then both. After each fit, the slope is subtracted, and Otsu's threshold
    separates the pixels.

    Returns
    -------
    darkness : float64 array
        0 on the plane of the light pixels, 1 on the plane of the dark pixels.
    is_dark : bool array
    contrast : float
        The distance between the planes, in standard deviations of the pixels around them.
    """
    row, column = np.indices(brightness.shape)
    is_dark = np.zeros(brightness.shape, bool)
    for _ in range(2):
        terms = np.stack([np.ones(brightness.shape), row, column, is_dark]).reshape(4, -1)
        (level, slope_down, slope_right, step), *_ = np.linalg.lstsq(terms.T, brightness.ravel())
        difference = brightness - (level + slope_down * row + slope_right * column)
        is_dark = difference < otsu_threshold(difference)
    step = min(step, -1e-9)  # not 0, even if all pixels have the same brightness
    deviation = (difference - step * is_dark).std()
    # Overexposed paper has hardly any deviation, and yet a difference of 4 in 255 is not ink.
    return difference / step, is_dark, -step / max(deviation, 0.004)


def otsu_threshold(values: NDArray[np.float64]) -> float:
    """Return the threshold that divides values into the two classes that differ most.

    Values below the threshold form one class and the remaining values the second. The threshold
    maximizes the variance between the classes (Otsu, A threshold selection method from gray-level
    histograms, 1979, equation 18).
    """
    values = np.sort(values, axis=None)
    below = np.arange(values.size)  # the number of values before each
    deviations = values - values.mean()
    sums = np.cumsum(deviations) - deviations  # of those below
    variance = sums**2 / np.maximum(below * (values.size - below), 1)  # between the classes
    return float(values[variance.argmax()])


def belongs_to_digit(is_ink: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return a mask of the digit's ink, leaving out specks and lines along the border.

    Each pixel of ink is weighted by the cube of its distance from the border, so a connected
    component weighs little if it is small or lies along the border. Components with less than a
    twentieth of the weight of the heaviest one are left out, but separate strokes, as in a 5, are
    kept.
    """
    vertical, horizontal = (np.minimum(np.arange(n), np.arange(n)[::-1]) + 1 for n in is_ink.shape)
    weights = is_ink * np.minimum.outer(vertical, horizontal) ** 3
    component = connected_components(is_ink)
    weight = np.bincount(component.ravel(), weights.ravel())
    return weight[component] >= weight.max() / 20


def connected_components(is_ink: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Return a number for each pixel: 0 for paper, or the number of its connected component.

    Ink is connected to ink in the eight pixels around it. Each component grows from one pixel: the
    unnumbered ink around the pixels that were numbered last is numbered next, until none is left.
    """
    padded = np.pad(is_ink, 1)
    width = padded.shape[1]
    steps = [width * down + right for down in (-1, 0, 1) for right in (-1, 0, 1)]
    unnumbered = set(np.flatnonzero(padded).tolist())
    component = np.zeros(padded.size, int)
    while unnumbered:
        number = unnumbered.pop()  # the index of a pixel, and not 0 because of the padding
        last = {number}
        while last:
            component[list(last)] = number
            last = {pixel + step for pixel in last for step in steps} & unnumbered
            unnumbered -= last
    return component.reshape(padded.shape)[1:-1, 1:-1]


def as_mnist(picture: ArrayLike) -> NDArray[np.float32]:
    """Return the picture of a digit, prepared as the images of MNIST were.

    The digit is cut out, fitted into 20 x 20 pixels with its proportions kept, and placed in 28 x
    28 pixels so that its center of mass is in the middle (LeCun, Bottou, Bengio and Haffner,
    Gradient-based learning applied to document recognition, 1998, section III). If that would push
    ink out of the 28 x 28 pixels, the digit is placed as close to the middle as possible.

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
    if not (ink.min() >= 0 and ink.max() <= 1):  # both are NaN if a pixel is
        raise ValueError(f"picture must be from 0 to 1, not from {ink.min():g} to {ink.max():g}")
    ink = fit(crop(ink), 20)
    height, width = ink.shape
    # In MNIST, the center of mass is in row 14 and column 14 (of 0 to 27), to within half a pixel.
    top = round(14 - np.average(np.arange(height), weights=ink.sum(axis=1)))
    left = round(14 - np.average(np.arange(width), weights=ink.sum(axis=0)))
    top, left = min(max(top, 0), 28 - height), min(max(left, 0), 28 - width)
    image = np.zeros((28, 28), np.float32)
    image[top : top + height, left : left + width] = ink
    return image.ravel()


def crop(ink: NDArray[np.float64]) -> NDArray[np.float64]:
    """Crop an image to the bounding box of its ink."""
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    return ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def fit(image: NDArray[np.floating], longest: int) -> NDArray[np.float64]:
    """Resize an image so that its longer side is `longest` pixels, with its proportions kept.

    Each new pixel is the mean of the area that it covers.
    """
    height, width = (max(1, round(longest * side / max(image.shape))) for side in image.shape)
    return coverage(height, image.shape[0]) @ image @ coverage(width, image.shape[1]).T


def coverage(count: int, length: int) -> NDArray[np.float64]:
    """Return how `count` equal parts cover `length` pixels: a row of weights for each part.

    `coverage(count, length) @ pixels` is the mean of the pixels in each part. A pixel that is only
    partly in a part counts in proportion.
    """
    edges = np.linspace(0, length, count + 1)[:, np.newaxis]
    # How much of each pixel lies before each edge. Subtracting neighbors leaves what is between.
    before = np.clip(edges - np.arange(length), 0, 1)
    return np.diff(before, axis=0) * (count / length)


# Terminal


def is_terminal(stream: TextIO) -> bool:
    """Return whether a stream is a terminal in which a line can be replaced.

    The shell of IDLE claims to be a terminal but cannot replace a line. It is recognized by its
    streams, which are not the process's own.
    """
    own = stream is sys.__stdout__ or stream is sys.__stderr__
    return own and stream.isatty() and os.environ.get("TERM") != "dumb"
