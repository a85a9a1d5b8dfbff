"""A real HTTP server on 127.0.0.1 that answers well or badly, as a test tells it to.

    with FaultyServer({"file.gz": b"..."}, send(status=503), send()) as server:
        ...  # the first request for server.url + "file.gz" gets a 503, all later ones the file

An answer is a function that is given the request. All those that the tests need are made here.
"""

import os
import socket
import ssl
import struct
import sys
import threading
import time
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import MappingProxyType
from typing import Any

NO_HEADERS: Mapping[str, str | None] = MappingProxyType({})
FOLDER = "/mnist/"  # that the files seem to be in
LONGEST_ANSWER_SECONDS = 10.0  # so that a client that waits for ever fails a test, not hangs it


class Request(BaseHTTPRequestHandler):
    """One request, and the means to answer it."""

    server: "FaultyServer"
    protocol_version = "HTTP/1.1"
    timeout = 20  # for reading and writing
    name: str  # of the file that it asks for
    content: bytes
    started: float

    def do_GET(self) -> None:
        """Look up the file and leave the rest to the answer whose turn it is."""
        self.close_connection = True
        self.started = time.monotonic()
        self.name = self.path.removeprefix(FOLDER)
        self.content = self.server.files[self.name]
        answer = self.server.next_answer(self.name)
        answer(self)

    def begin(self, status: int, headers: Mapping[str, str | None]) -> None:
        """Send the status and the headers, but not those that are None."""
        self.send_response(status)
        for name, value in headers.items():
            if value is not None:
                self.send_header(name, value)
        self.send_header("Connection", "close")
        self.end_headers()

    def is_over(self, seconds: float = LONGEST_ANSWER_SECONDS) -> bool:
        """Wait, but not longer than the test or an answer lasts; return whether that is over."""
        remaining = self.started + LONGEST_ANSWER_SECONDS - time.monotonic()
        return self.server.closing.wait(min(seconds, remaining)) or seconds >= remaining

    def log_message(self, *_: object) -> None:
        """Print nothing."""


Answer = Callable[[Request], None]


class FaultyServer(ThreadingHTTPServer):
    """A server that gives each answer once, in this order, and the last one ever after."""

    daemon_threads = False  # so that server_close() waits for them all

    def __init__(
        self, files: Mapping[str, bytes], *answers: Answer, tls: ssl.SSLContext | None = None
    ) -> None:
        super().__init__(("127.0.0.1", 0), Request)
        self.files = files
        self.requested: list[str] = []  # the names of the files that were asked for
        self.times: list[float] = []  # and when
        self.client_hung_up = threading.Event()  # while an answer was going on
        self.closing = threading.Event()
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.server_port}{FOLDER}"
        self._answers = list(answers)
        self._lock = threading.Lock()
        if tls:
            self.socket = tls.wrap_socket(self.socket, server_side=True)
        self._thread = threading.Thread(target=self.serve_forever, args=(0.01,))

    def __enter__(self) -> "FaultyServer":
        """Begin to serve."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End every answer that is still going on, and wait for all threads."""
        self.closing.set()
        self.shutdown()
        self._thread.join()
        self.server_close()

    def next_answer(self, name: str) -> Answer:
        """Note down a request and return the answer for it."""
        with self._lock:
            self.requested.append(name)
            self.times.append(time.monotonic())
            return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Let a mistake in an answer fail the test, but not a client that hung up."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            raise  # the exception that is being handled
        self.client_hung_up.set()


def send(
    change: Callable[[bytes], bytes] = bytes,
    status: int = 200,
    headers: Mapping[str, str | None] = NO_HEADERS,
) -> Answer:
    """Send what `change` makes of the file; with its length, unless `headers` say otherwise."""

    def answer(request: Request) -> None:
        body = change(request.content)
        request.begin(status, {"Content-Length": str(len(body)), **headers})
        request.wfile.write(body)

    return answer


def redirect(url: str) -> Answer:
    """Send the client to the same file at another URL; an empty one is where it is."""

    def answer(request: Request) -> None:
        request.begin(302, {"Location": url + request.name, "Content-Length": "0"})

    return answer


def never_answer(request: Request) -> None:
    """Accept the request and send nothing."""
    request.is_over()


def stop_halfway(request: Request) -> None:
    """Send half of the file and then nothing, with the connection left open."""
    _send_half(request)
    request.is_over()


def pause_halfway(seconds: float) -> Answer:
    """Send half of the file, and the other half after a pause."""

    def answer(request: Request) -> None:
        sent = _send_half(request)
        request.is_over(seconds)
        request.wfile.write(request.content[sent:])

    return answer


def close_halfway(request: Request) -> None:
    """Send half of the file and close the connection."""
    _send_half(request)


def reset_halfway(request: Request) -> None:
    """Send half of the file and reset the connection."""
    _send_half(request)
    request.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    os.close(request.connection.detach())


def _send_half(request: Request) -> int:
    half = len(request.content) // 2
    request.begin(200, {"Content-Length": str(len(request.content))})
    request.wfile.write(request.content[:half])
    return half


def trickle(size: int, seconds: float, headers: Mapping[str, str | None] = NO_HEADERS) -> Answer:
    """Send the file in pieces of this size, with a pause after each.

    They are chunks (RFC 9112, 7.1) if `headers` say so, and else a body of known length.
    """
    chunked = "Transfer-Encoding" in headers

    def answer(request: Request) -> None:
        content = request.content
        length = None if chunked else str(len(content))
        request.begin(200, {"Content-Length": length, **headers})
        for start in range(0, len(content), size):
            piece = content[start : start + size]
            request.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece) if chunked else piece)
            if request.is_over(seconds):
                return
        if chunked:
            request.wfile.write(b"0\r\n\r\n")

    return answer


def never_end(
    block: bytes = bytes(1_000_000),
    status: int = 200,
    headers: Mapping[str, str | None] = NO_HEADERS,
) -> Answer:
    """Send the block over and over, as fast as the client takes it."""

    def answer(request: Request) -> None:
        request.begin(status, headers)
        while not request.is_over(0):
            request.wfile.write(block)

    return answer


def speak(words: bytes) -> Answer:
    """Send bytes that need not be HTTP."""

    def answer(request: Request) -> None:
        request.wfile.write(words)

    return answer


def send_together(count: int) -> Answer:
    """Send the file once this many clients are waiting for it."""
    all_here = threading.Barrier(count)

    def answer(request: Request) -> None:
        all_here.wait(timeout=20)
        send()(request)

    return answer
