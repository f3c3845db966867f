"""Sound from a program that writes it to its standard output, such as arecord or ffmpeg."""

import subprocess
from collections.abc import Sequence
from typing import IO

from inspector.errors import DeviceError


class Microphone:
    """Starts the program. `read` from one thread; `close` from any, which ends a `read` that waits.

    Raises DeviceError when the program cannot be started.
    """

    def __init__(self, command: Sequence[str]) -> None:
        self._name = command[0]
        try:
            # What it has to complain of goes where our own log goes.
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        except OSError as error:
            raise DeviceError(f"speech: {self._name}: {error.strerror}; see options.command") from error
        assert self._process.stdout is not None
        self._sound: IO[bytes] = self._process.stdout

    def read(self, count: int) -> bytes:
        """Wait for `count` bytes. Raises DeviceError when the program has ended."""
        sound = self._sound.read(count)
        if len(sound) < count:
            raise DeviceError(
                f"speech: no sound: {self._name} has ended; its reason is in this service's log"
            )
        return sound

    def close(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(2.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def release(self) -> None:
        """Let go of the pipe, once nobody reads."""
        self._sound.close()
