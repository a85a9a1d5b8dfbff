"""Fetch, check and read MNIST, the 70,000 images of handwritten digits.

`get_data` takes the four files from a cache folder, downloads what is missing there, and uses
only what has the SHA-256 listed below, so that it need not trust any mirror. Without a network it
goes on with a tenth of MNIST that is bundled with the program. Importing this module does none of
that.
"""

import contextlib
import errno
import hashlib
import math
import os
import queue
import shutil
import struct
import sys
import threading
import time
import uuid
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import requests

# Tried in turn, after the one that the environment variable MNIST_MIRROR names. The original site
# (yann.lecun.com) is not among them: it refuses downloads.
MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
    "https://raw.githubusercontent.com/fgnt/mnist/master/",
)

PATIENCE_SECONDS = 14.0  # for a file to begin, shared by the mirrors: a class is waiting
SILENCE_SECONDS = 10.0  # the longest pause in a download that has begun
SLOWEST_BYTES_PER_SECOND = 50_000  # a download slower than this on average is given up
ABANDONED_SECONDS = 3600.0  # a partial file older than this is left from a run that was killed

SPLITS = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
# Of the unpacked files as first published. Whoever changes one pixel changes the hash.
SIZES = {
    "train-images-idx3-ubyte": 47_040_016,
    "train-labels-idx1-ubyte": 60_008,
    "t10k-images-idx3-ubyte": 7_840_016,
    "t10k-labels-idx1-ubyte": 10_008,
}
SHA256 = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
# The bundled sample, for runs without a network: the first tenth of each file.
SAMPLE_FOLDER = Path(__file__).resolve().parent / "tests" / "mnist_sample"
SAMPLE_SHA256 = {
    "train-images-idx3-ubyte": "2782ff6f3467f3487a520503c34fe99b761aa97623af029969e59716ac3585c3",
    "train-labels-idx1-ubyte": "0d830540a6191e75a9f5cd63cd5b4bde38960b893784bbf456d560179296d7cd",
    "t10k-images-idx3-ubyte": "de7c252b04f05e1f8309634180ccdf286dc6dbac8c579b74e76e02ae0331ca52",
    "t10k-labels-idx1-ubyte": "832c0d20f0dc42e575488c75a83a970787d4c8d4d05831b2ef03701b4a478a90",
}

IDX_ITEM_SIZES = {0x08: 1, 0x09: 1, 0x0B: 2, 0x0C: 4, 0x0D: 4, 0x0E: 8}  # bytes, by type code
IDX_UNSIGNED_BYTE = 0x08

ImagesAndLabels = tuple[NDArray[np.uint8], NDArray[np.uint8]]

# `get_data` reads both splits at once, so that they always come from the same source. The one that
# was not asked for waits here as bytes, a quarter of the memory of floats.
_waiting: dict[tuple[str, Path, str], ImagesAndLabels] = {}


class CacheError(Exception):
    """Something in the cache folder is in the way; the message says what it is and what to do."""


class DownloadError(Exception):
    """A mirror did not deliver a file; the message says why."""


def get_data(split: str = "train") -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the images and labels of one split of MNIST, after downloading them if need be.

    The files are looked for in the folder that the environment variable MNIST_DIR names, or else
    in `data` beside this module. What is missing or damaged there is downloaded. Where no mirror
    delivers it either, both splits come from the bundled sample, and a note on stderr says so.

    Parameters
    ----------
    split : {"train", "test"}
        The 60,000 images to learn from (6,000 of the sample) or the 10,000 to be tested on (1,000).

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
    CacheError
        If a file in the cache folder can be neither used nor replaced.
    """
    if split not in SPLITS:
        raise ValueError(f"split is {split!r}, wanted 'train' or 'test'")
    folder = Path(os.environ.get("MNIST_DIR") or Path(__file__).resolve().parent / "data")
    mirror = os.environ.get("MNIST_MIRROR", "")
    images_and_labels = _waiting.pop((split, folder, mirror), None)
    if images_and_labels is None:
        contents = _find_contents(folder, (mirror, *MIRRORS) if mirror else MIRRORS)
        both = {
            name: parse_mnist(*(contents[file] for file in files)) for name, files in SPLITS.items()
        }
        images_and_labels = both.pop(split)
        _waiting.update({(name, folder, mirror): other for name, other in both.items()})
    images, labels = images_and_labels
    return (
        np.divide(images, np.float32(255), dtype=np.float32),
        np.eye(10, dtype=np.float32)[labels],
    )


def _find_contents(folder: Path, mirrors: tuple[str, ...]) -> dict[str, bytes]:
    """Return the content of the four files, all of MNIST or all of the sample."""
    contents = _read_folder(folder, SHA256)
    missing = [name for name in SHA256 if name not in contents]
    failures = []
    for mirror in mirrors:
        try:
            while missing:
                name = missing[0]
                contents[name] = _download(name, mirror, PATIENCE_SECONDS / len(mirrors))
                _keep(folder, name, contents[name])
                missing.remove(name)  # only now: the next mirror takes over what is left
        except DownloadError as error:
            failures.append(f"  {mirror}: {error}")
    if not missing:
        return contents
    note = [
        "The full MNIST is not in the cache folder, and no mirror delivered it:",
        *failures,
        "Going on with the bundled sample: 6,000 images to learn from, 1,000 to be tested on.",
        f"For the full set, start again with a network or put its four files into {folder}",
    ]
    print(*note, sep="\n", file=sys.stderr)
    sample = _read_folder(SAMPLE_FOLDER, SAMPLE_SHA256)
    if len(sample) < len(SAMPLE_SHA256):
        raise CacheError(
            f"The bundled sample in {SAMPLE_FOLDER} is damaged: clone the project again."
        )
    return sample


def _read_folder(folder: Path, sha256: dict[str, str]) -> dict[str, bytes]:
    """Return the unpacked content of those files that `folder` holds, packed or not, undamaged.

    What is not a whole IDX file is a damaged download, and as good as missing. What is whole but
    another file (Fashion-MNIST has the same names) belongs to the user: it is a `CacheError`.
    """
    contents = {}
    for name in sha256:
        for path in (folder / name, folder / f"{name}.gz"):
            try:
                content, size = _read_file(path, SIZES[name])
            except (FileNotFoundError, zlib.error):
                continue
            except OSError as error:
                raise CacheError(
                    f"{path} cannot be read ({error.strerror}): move it away or repair it."
                ) from error
            if hashlib.sha256(content).hexdigest() == sha256[name]:
                contents[name] = content
                break
            if _size_by_header(content) == size:
                raise CacheError(
                    f"{path} is a whole IDX file, but not MNIST's: move it away, "
                    "or let the environment variable MNIST_DIR name another folder."
                )
    return contents


def _read_file(path: Path, limit: int) -> tuple[bytes, int]:
    """Return the unpacked content of a file, at most `limit` + 1 bytes, and its true size."""
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "not a file")  # reading a pipe could wait for ever
    with path.open("rb") as file:
        content = file.read(limit + 1)
        size = os.fstat(file.fileno()).st_size
    return _unpack(content, limit) if path.suffix == ".gz" else (content, size)


def _unpack(packed: bytes, limit: int) -> tuple[bytes, int]:
    """Unpack gzip data, but at most `limit` + 1 bytes of it; return these and the true size."""
    unpacker = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)  # 16: the gzip format (RFC 1952)
    content = unpacker.decompress(packed, limit + 1)
    if len(content) > limit:
        return content, int.from_bytes(packed[-4:], "little")  # gzip data end with their size
    if not unpacker.eof:
        raise zlib.error("the gzip data end too soon")
    return content, len(content)


def _keep(folder: Path, name: str, content: bytes) -> None:
    """Put a downloaded file into the cache folder, whole or not at all; say so if it cannot be."""
    path = folder / name
    partial = folder / f"{name}.{uuid.uuid4().hex}.part"  # two runs at once do not share it
    try:
        if path.is_symlink():
            raise OSError(errno.EEXIST, f"{name} is a link")
        folder.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(OSError):  # another run may be doing the same
            for abandoned in folder.glob(f"{name}.*.part"):
                if time.time() - abandoned.stat().st_mtime > ABANDONED_SECONDS:
                    abandoned.unlink()
        try:
            partial.write_bytes(content)
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        print(f"{name} could not be kept in {folder}: {error.strerror}", file=sys.stderr)


def _download(name: str, mirror: str, patience: float) -> bytes:
    """Return the unpacked and checked content of a file from a mirror, or raise `DownloadError`.

    `requests` limits each wait, but not all of them together: a name look-up, several addresses,
    a server that sends a byte now and then. So it runs in a thread that can be left behind, and
    this function limits how long it waits for the next piece.
    """
    received: queue.Queue[int | bytes | Exception] = queue.Queue()
    left_behind = threading.Event()
    url = f"{mirror.rstrip('/')}/{name}.gz"
    arguments = (url, patience, received, left_behind)
    threading.Thread(target=_receive, args=arguments, daemon=True).start()
    packed = bytearray()
    length = 0
    started = time.monotonic()
    try:
        while True:
            allowed = patience + len(packed) / SLOWEST_BYTES_PER_SECOND
            remaining = started + allowed - time.monotonic()
            if remaining < 0:
                raise queue.Empty
            piece = received.get(timeout=min(remaining, SILENCE_SECONDS))
            if isinstance(piece, Exception):
                raise DownloadError(_cause(piece)) from piece
            if isinstance(piece, int):
                length = piece
            elif piece:
                packed += piece
            else:
                break
            if len(packed) > SIZES[name]:
                raise DownloadError("it sends more than the file can be")
            bar = f"{progress_bar(len(packed) / length, sys.stderr)}  " if length else ""
            draw_over(f"{name}  {bar}{len(packed) / 1e6:.1f} MB", sys.stderr)
    except queue.Empty:
        raise DownloadError("it stopped sending" if packed else "no answer in time") from None
    finally:
        left_behind.set()
        draw_over("", sys.stderr)
    content = bytes(packed)
    for _ in range(2):  # a server may pack what is packed already
        if content.startswith(b"\x1f\x8b"):
            try:
                content, _size = _unpack(content, SIZES[name])
            except zlib.error as error:
                raise DownloadError(f"it sent a damaged file ({error})") from error
    if hashlib.sha256(content).hexdigest() != SHA256[name]:
        raise DownloadError("it sent something else (a log-in page, perhaps)")
    return content


def _receive(
    url: str,
    patience: float,
    received: "queue.Queue[int | bytes | Exception]",
    left_behind: threading.Event,
) -> None:
    """Put into `received` the length of what `url` holds, its pieces, and an empty one to end."""
    try:
        import requests  # here, because it takes 0.1 s, and most runs download nothing
        from urllib3.util import Retry

        # A server that asks for a little time (429, 503) gets two more tries, at the time it names.
        retry = Retry(
            total=None,
            connect=0,
            read=0,
            other=0,
            status=2,
            status_forcelist=(429, 503),
            backoff_factor=0.5,
        )
        with requests.Session() as session:
            session.mount("http://", requests.adapters.HTTPAdapter(max_retries=retry))
            session.mount("https://", requests.adapters.HTTPAdapter(max_retries=retry))
            session.headers["Accept-Encoding"] = "identity"
            session.hooks["response"] = [_skip_redirect_body]
            with session.get(url, stream=True, timeout=patience + SILENCE_SECONDS) as response:
                response.raise_for_status()
                received.put(int(response.headers.get("Content-Length", 0)))
                # As sent, not unpacked on the way, so that no more arrives than is asked for.
                for piece in response.raw.stream(16_384, decode_content=False):
                    if left_behind.is_set():
                        return
                    received.put(piece)
                received.put(b"")
    except Exception as error:  # whatever went wrong in here, this mirror failed
        received.put(error)


def _skip_redirect_body(response: "requests.Response", **_: object) -> None:
    """Close a response that only leads elsewhere; `requests` would read its body, however long."""
    if response.is_redirect:
        response.close()


def _cause(error: BaseException) -> str:
    """Return the message at the root of an error: the libraries wrap it several times."""
    while error.__context__ is not None:
        error = error.__context__
    message = str(error) or type(error).__name__
    return " ".join(word for word in message.split() if word.isprintable())


def parse_mnist(images_content: bytes, labels_content: bytes) -> ImagesAndLabels:
    """Return the images and labels that two IDX files hold.

    Parameters
    ----------
    images_content, labels_content : bytes
        The unpacked files.

    Returns
    -------
    images : uint8 array of shape (N, 784)
    labels : uint8 array of shape (N,), digits from 0 to 9

    Raises
    ------
    ValueError
        If they are not IDX files, or not N images of 28 x 28 pixels and N digits.
    """
    images = parse_idx(images_content, 3)
    labels = parse_idx(labels_content, 1)
    if images.shape[1:] != (28, 28):
        raise ValueError(f"the images are {images.shape[1:]} pixels, wanted (28, 28)")
    if len(images) != len(labels):
        raise ValueError(f"there are {len(images)} images but {len(labels)} labels")
    if labels.max(initial=0) > 9:
        raise ValueError(f"there is a label {labels.max()}, wanted digits from 0 to 9")
    return images.reshape(len(images), 784), labels


def parse_idx(content: bytes, dimensions: int) -> NDArray[np.uint8]:
    """Return the array of unsigned bytes that an IDX file holds.

    Such a file begins with two zero bytes, a type code, the number of dimensions, and the size of
    each as a big-endian 32-bit number; the items follow (LeCun, Cortes and Burges, The MNIST
    database of handwritten digits, section "File formats").

    Parameters
    ----------
    content : bytes
        The unpacked file.
    dimensions : int
        The number of dimensions that it has to have.

    Raises
    ------
    ValueError
        If `content` is not a whole IDX file of that kind.
    """
    type_code, shape = _parse_idx_header(content)
    if type_code != IDX_UNSIGNED_BYTE:
        raise ValueError(f"the IDX type code is {type_code:#04x}, wanted {IDX_UNSIGNED_BYTE:#04x}")
    if len(shape) != dimensions:
        raise ValueError(f"the IDX file has {len(shape)} dimensions, wanted {dimensions}")
    if _size_by_header(content) != len(content):
        raise ValueError(
            f"the IDX header says {_size_by_header(content)} bytes, there are {len(content)}"
        )
    return np.frombuffer(content, np.uint8, offset=4 + 4 * dimensions).reshape(shape)


def _size_by_header(content: bytes) -> int | None:
    """Return how many bytes an IDX file has by its header, None if it has no such header."""
    try:
        type_code, shape = _parse_idx_header(content)
    except ValueError:
        return None
    return 4 + 4 * len(shape) + math.prod(shape) * IDX_ITEM_SIZES[type_code]


def _parse_idx_header(content: bytes) -> tuple[int, tuple[int, ...]]:
    """Return the type code and the shape of an IDX file, or raise `ValueError`."""
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] not in IDX_ITEM_SIZES:
        raise ValueError(f"an IDX file does not begin with the bytes {content[:4].hex(' ')}")
    type_code, dimensions = content[2], content[3]
    if len(content) < 4 + 4 * dimensions:
        raise ValueError(f"the IDX header is cut off after {len(content)} bytes")
    return type_code, struct.unpack_from(f">{dimensions}I", content, 4)


def is_live(stream: TextIO) -> bool:
    """Whether a line on `stream` can be drawn over: it is a terminal, and not a dumb one."""
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def can_show(characters: str, stream: TextIO) -> bool:
    """Whether the encoding of `stream` has all these characters."""
    try:
        characters.encode(stream.encoding or "ascii")
    except UnicodeEncodeError:
        return False
    return True


def progress_bar(fraction: float, stream: TextIO) -> str:
    """Return a bar of 20 characters that is filled up to `fraction`."""
    full, empty = "━─" if can_show("━─", stream) else "#."
    filled = round(20 * min(max(fraction, 0.0), 1.0))
    return full * filled + empty * (20 - filled)


def draw_over(line: str, stream: TextIO, end: str = "\r") -> None:
    """Write a line over the one that the cursor is on, if `stream` is a terminal for that.

    The cursor goes back to its start, so that what is typed meanwhile does not wrap.
    """
    if is_live(stream):
        width = shutil.get_terminal_size().columns - 1
        print("\r" + line[:width].ljust(width), end=end, file=stream, flush=True)
