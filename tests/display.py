"""A virtual display, on which a window can be opened where there is no screen."""

import contextlib
import subprocess
from collections.abc import Iterator


@contextlib.contextmanager
def virtual_display() -> Iterator[str]:
    """Start Xvfb and yield the name of its display. The mouse is outside the drawing window."""
    command = ("Xvfb", "-displayfd", "1", "-nolisten", "tcp", "-screen", "0", "1000x1000x24")
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as server:
        assert server.stdout
        try:
            yield f":{server.stdout.readline().strip()}"
        finally:
            server.terminate()
