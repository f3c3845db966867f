"""The jobs of a campaign, seen from the process that started them."""

import multiprocessing
import queue
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Any, Final, Self

from inspector.errors import DeviceError
from line_sim.campaign.judge import Record
from line_sim.campaign.replays import Replayed
from line_sim.campaign.worker import Settings, work

_POLL_S: Final = 0.3
_JOIN_S: Final = 60.0  # longer than a run takes


class Jobs:
    """Processes that run all numbers between them. Leaving the context ends them, after their runs.

    Each is a fresh interpreter, which shares no thread or socket with this one.
    """

    def __init__(self, settings: Settings, numbers: Sequence[int], jobs: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._stop = context.Event()
        self._numbers: Any = context.Queue()
        self._records: Any = context.Queue()
        self._left = len(numbers)
        self.replays: list[Replayed] = []  # of the cells that have ended
        for number in [*numbers, *[None] * jobs]:
            self._numbers.put(number)
        self._processes = [
            context.Process(target=work, args=(index, settings, self._numbers, self._records, self._stop))
            for index in range(jobs)
        ]

    def __enter__(self) -> Self:
        for process in self._processes:
            process.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for _ in self.stop():
            continue
        self._numbers.cancel_join_thread()

    def records(self) -> Iterator[Record]:
        """Yield the runs as they are done, and end with the last replay.

        Raises DeviceError when the jobs end before all are done.
        """
        alive = True
        while alive:
            alive = any(process.is_alive() for process in self._processes)  # before what may be its last
            while (record := self._next()) is not None:
                self._left -= 1
                yield record
        if self._left:
            raise DeviceError(f"{self._left} runs were not done: every job has ended")

    def stop(self) -> Iterator[Record]:
        """End the jobs; yield what they finish on the way."""
        self._stop.set()
        for process in self._processes:
            for _ in range(round(_JOIN_S / _POLL_S)):
                if (record := self._next()) is not None:
                    yield record
                if not process.is_alive():
                    break
            else:
                process.terminate()
            process.join()

    def _next(self) -> Record | None:
        while True:
            try:
                item: Record | Replayed | str = self._records.get(timeout=_POLL_S)
            except queue.Empty:
                return None
            if isinstance(item, str):
                raise DeviceError(item)
            if isinstance(item, Record):
                return item
            self.replays.append(item)
