"""Ends the `poll` of another thread."""

import os


class Waker:
    """An eventfd. `set` is for any thread; `clear` and `fileno` for the one that polls."""

    def __init__(self) -> None:
        self._fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def fileno(self) -> int:
        return self._fd

    def set(self) -> None:
        """Have the poll return, now or when it begins."""
        os.eventfd_write(self._fd, 1)

    def clear(self) -> None:
        """Take note. Raises BlockingIOError when nobody has called `set`."""
        os.eventfd_read(self._fd)

    def close(self) -> None:
        os.close(self._fd)
