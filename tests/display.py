"""A virtual display, on which a window can be opened where there is no screen."""

import contextlib
import os
import select
import subprocess
from collections.abc import Iterator


@contextlib.contextmanager
def virtual_display() -> Iterator[str]:
    """Start Xvfb and yield the name of its display, which is larger than the drawing window."""
    reader, writer = os.pipe()
    command = ["Xvfb", "-displayfd", str(writer), "-nolisten", "tcp"]
    command += ["-screen", "0", "1000x1000x24"]
    with subprocess.Popen(command, pass_fds=[writer], stderr=subprocess.DEVNULL) as server:
        os.close(writer)
        try:
            assert select.select([reader], [], [], 30)[0]
            yield f":{os.read(reader, 10).decode().strip()}"
        finally:
            server.terminate()
            os.close(reader)
