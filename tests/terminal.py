"""Drive a program in a pseudo-terminal, and read its screen.

pexpect presses the keys, and pyte, a terminal without a window, shows what they lead to.
"""

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

import pexpect
import pyte

PATIENCE_SECONDS = 30  # nothing takes this long unless the program hangs


class Terminal:
    """A program that runs in a pseudo-terminal."""

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        folder: Path,
        *,
        lines: int = 24,
        columns: int = 80,
    ) -> None:
        """Start the program in a folder."""
        self.screen = pyte.Screen(columns, lines)
        self.output = ""  # all that the program has written, control characters and all
        self._emulator = pyte.Stream(self.screen)
        with warnings.catch_warnings():
            # Python 3.12 warns of a fork beside NumPy's threads; pexpect has no other way.
            warnings.simplefilter("ignore", DeprecationWarning)
            self._program = pexpect.spawn(
                command[0],
                list(command[1:]),
                env=dict(environment),
                cwd=str(folder),
                dimensions=(lines, columns),
                encoding="utf-8",
                timeout=PATIENCE_SECONDS,
            )
        self._program.delaybeforesend = None  # meant for passwords, and takes time
        self._program.ptyproc.delayafterclose = 0.01  # type: ignore[attr-defined]
        self._program.logfile_read = self

    def write(self, text: str) -> None:
        """Take what the program has written, from pexpect."""
        self.output += text
        self._emulator.feed(text)

    def flush(self) -> None:
        """Do nothing: pexpect needs a file."""

    def press(self, keys: str) -> None:
        """Press some keys."""
        self._program.send(keys)

    def wait_for(self, text: str) -> None:
        """Wait until the program has written `text`, since the last wait."""
        self._program.expect_exact(text)

    def finish(self) -> int:
        """Wait for the end of the program and return its exit status, or the signal, negated."""
        self._program.expect_exact(pexpect.EOF)
        self._program.wait()
        if self._program.exitstatus is None:
            return -int(self._program.signalstatus or 0)
        return self._program.exitstatus

    def rows(self) -> list[str]:
        """Return what the screen shows, down to the line that the cursor is on."""
        return [row.rstrip() for row in self.screen.display[: self.screen.cursor.y + 1]]

    def __enter__(self) -> "Terminal":
        """Return the terminal itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End the program if it still runs."""
        self._program.close(force=True)
