"""A real HTTP server on 127.0.0.1 that answers well or badly, as a test tells it to.

    with Mirror({"file.gz": b"..."}, status(503), send) as mirror:
        ...  # the first request for mirror.url + "file.gz" gets a 503, all later ones the file

An answer is a function that is given the request; all those that the tests need are made here.
"""

import gzip
import threading
import time
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

LONGEST_ANSWER_SECONDS = 10.0  # so that a client that waits for ever fails a test, not hangs it


class Request(BaseHTTPRequestHandler):
    """One request, and the means to answer it."""

    server: "Mirror"
    protocol_version = "HTTP/1.1"
    content: bytes  # of the file that is asked for

    def do_GET(self) -> None:
        """Look up the file, and leave the rest to the answer whose turn it is."""
        self.close_connection = True
        self.until = time.monotonic() + LONGEST_ANSWER_SECONDS
        name = self.path.removeprefix("/mnist/")
        self.content = self.server.files[name]
        self.server.requested.append(name)
        answers = self.server.answers
        (answers.pop(0) if len(answers) > 1 else answers[0])(self)

    def begin(self, status: int = 200, **headers: str | int) -> None:
        """Send the status and the headers."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.send_header("Connection", "close")
        self.end_headers()

    def wait(self, seconds: float = LONGEST_ANSWER_SECONDS) -> bool:
        """Wait; return whether to go on after that, because neither test nor answer is over."""
        return not self.server.closing.wait(seconds) and time.monotonic() < self.until

    def log_message(self, *_: object) -> None:
        """Print nothing."""


Answer = Callable[[Request], object]


class Mirror(ThreadingHTTPServer):
    """A server that gives each answer once, in this order, and the last one ever after."""

    def __init__(self, files: Mapping[str, bytes], *answers: Answer) -> None:
        super().__init__(("127.0.0.1", 0), Request)
        self.files = files
        self.answers = list(answers)
        self.requested: list[str] = []  # the names of the files that were asked for
        self.closing = threading.Event()
        self.url = f"http://127.0.0.1:{self.server_port}/mnist/"

    def __enter__(self) -> "Mirror":
        """Begin to serve."""
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        """End every answer that is still going on."""
        self.closing.set()
        self.shutdown()
        self.server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print nothing: clients may hang up."""


def send(request: Request) -> None:
    """Send the file."""
    request.begin(Content_Length=len(request.content))
    request.wfile.write(request.content)


def send_other(body: bytes) -> Answer:
    """Send something else than the file."""

    def answer(request: Request) -> None:
        request.begin(Content_Length=len(body))
        request.wfile.write(body)

    return answer


def compress_if_asked(request: Request) -> None:
    """Send the file, compressed once more if the client allows it."""
    if "gzip" in request.headers["Accept-Encoding"]:
        body = gzip.compress(request.content)
        request.begin(Content_Length=len(body), Content_Encoding="gzip")
        request.wfile.write(body)
    else:
        send(request)


def status(code: int) -> Answer:
    """Send a status and nothing else."""
    return lambda request: request.begin(code, Content_Length=0)


def redirect(url: str) -> Answer:
    """Send the client to the same file below another URL."""
    return lambda request: request.begin(
        302, Location=url + request.path.rpartition("/")[2], Content_Length=0
    )


def speak(words: bytes) -> Answer:
    """Send bytes that need not be HTTP."""
    return lambda request: request.wfile.write(words)


def never_answer(request: Request) -> None:
    """Accept the request and send nothing."""
    request.wait()


def stop_halfway(request: Request) -> None:
    """Send half of the file, and then nothing, with the connection left open."""
    close_halfway(request)
    request.wait()


def close_halfway(request: Request) -> None:
    """Send half of the file and close the connection."""
    request.begin(Content_Length=len(request.content))
    request.wfile.write(request.content[: len(request.content) // 2])
    request.wfile.flush()


def trickle(size: int, seconds: float) -> Answer:
    """Send the file in pieces of a size, with a pause after each."""

    def answer(request: Request) -> None:
        request.begin(Content_Length=len(request.content))
        for start in range(0, len(request.content), size):
            request.wfile.write(request.content[start : start + size])
            if not request.wait(seconds):
                return

    return answer


def crawl(request: Request) -> None:
    """Send 15,000 bytes in a second, for as long as the client takes them."""
    request.begin(Content_Length=10_000_000)
    while request.wait(0.1):
        request.wfile.write(bytes(1_500))


def endless_chunk_size(request: Request) -> None:
    """Begin a chunk, and never come to the end of the line that says how long it is."""
    request.begin(Transfer_Encoding="chunked")
    while request.wait(0):
        request.wfile.write(b"0" * 1_000_000)


def never_end(code: int = 200, **headers: str) -> Answer:
    """Send zeros, as fast as the client takes them."""

    def answer(request: Request) -> None:
        request.begin(code, **headers)
        while request.wait(0):
            request.wfile.write(bytes(1_000_000))

    return answer


def send_together(count: int) -> Answer:
    """Send the file once this many clients are waiting for it."""
    all_here = threading.Barrier(count)

    def answer(request: Request) -> None:
        all_here.wait(timeout=LONGEST_ANSWER_SECONDS)
        send(request)

    return answer
