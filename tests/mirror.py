"""A real HTTP server on 127.0.0.1 that answers well or badly, as a test tells it to.

    with Mirror({"file.gz": b"..."}, status(503), send) as mirror:
        ...  # the first request for mirror.url + "file.gz" gets a 503, all later ones the file

An answer is a function that is given the request.
"""

import ssl
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Request(BaseHTTPRequestHandler):
    """One request, and the means to answer it."""

    server: "Mirror"
    protocol_version = "HTTP/1.1"
    content: bytes  # of the file that is requested

    def do_GET(self) -> None:
        """Look up the file, and let the next answer do the rest."""
        self.close_connection = True
        name = self.path.removeprefix("/mnist/")
        self.content = self.server.files.get(name, b"")
        self.server.requested.append(name)
        answers = self.server.answers
        (answers.pop(0) if len(answers) > 1 else answers[0])(self)

    def send_headers(self, length: int | None, status: int = 200) -> None:
        """Send the status and the headers."""
        self.send_response(status)
        if length is not None:
            self.send_header("Content-Length", str(length))
        self.send_header("Connection", "close")
        self.end_headers()

    def wait(self, seconds: float | None = None) -> bool:
        """Wait, but not beyond the end of the test, and return whether the test goes on."""
        return not self.server.closing.wait(seconds)

    def log_message(self, *_: object) -> None:
        """Print nothing."""


Answer = Callable[[Request], object]


class Mirror(ThreadingHTTPServer):
    """A server that gives each answer once, in this order, and the last one from then on."""

    def __init__(
        self, files: Mapping[str, bytes], *answers: Answer, tls: ssl.SSLContext | None = None
    ) -> None:
        super().__init__(("127.0.0.1", 0), Request)
        self.files = files
        self.answers = list(answers)
        self.requested: list[str] = []  # the names of the files
        self.closing = threading.Event()
        self.host = f"127.0.0.1:{self.server_port}"
        self.url = f"http{'s' if tls else ''}://{self.host}/mnist/"
        if tls:
            self.socket = tls.wrap_socket(self.socket, server_side=True)

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
    send_bytes(request.content)(request)


def send_bytes(body: bytes) -> Answer:
    """Send these bytes instead of the file."""

    def answer(request: Request) -> None:
        request.send_headers(len(body))
        request.wfile.write(body)

    return answer


def status(code: int) -> Answer:
    """Send a status and nothing else."""
    return lambda request: request.send_headers(0, code)


def speak(words: bytes) -> Answer:
    """Send bytes that need not be HTTP."""
    return lambda request: request.wfile.write(words)


def never_answer(request: Request) -> None:
    """Accept the request and send nothing."""
    request.wait()


def close_halfway(request: Request) -> None:
    """Send half of the file and close the connection."""
    request.send_headers(len(request.content))
    request.wfile.write(request.content[: len(request.content) // 2])
    request.wfile.flush()


def stop_halfway(request: Request) -> None:
    """Send half of the file, and then nothing, with the connection left open."""
    close_halfway(request)
    request.wait()


def trickle(size: int, seconds: float) -> Answer:
    """Send the file in pieces of `size` bytes, with a pause after each."""

    def answer(request: Request) -> None:
        request.send_headers(len(request.content))
        for start in range(0, len(request.content), size):
            request.wfile.write(request.content[start : start + size])
            if not request.wait(seconds):
                return

    return answer


def never_end(request: Request) -> None:
    """Send more zeros than any client should take."""
    request.send_headers(None)
    for _ in range(100):
        request.wfile.write(bytes(1_000_000))


def send_together(count: int) -> Answer:
    """Send the file once this many clients are waiting for it."""
    all_here = threading.Barrier(count)

    def answer(request: Request) -> None:
        all_here.wait(timeout=10)
        send(request)

    return answer
