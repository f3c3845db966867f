"""When each stage of a slot's run begins and ends, by CUDA events in its stream. For measurements alone."""

from typing import Final

from inspector.clock import Clock
from inspector.detect.cuda.driver_api import DriverApi
from inspector.detect.engines.stages import Stage

_GAP: Final = ""  # between two stages: the device waits for the host


class EventClock:
    """Puts CUDA events on the host's clock, all with one error: how long the host takes to wake up."""

    def __init__(self, api: DriverApi, clock: Clock) -> None:
        self._api = api
        self._clock = clock
        self._base = api.event(timed=True)
        self._base_ns = 0

    def start(self, stream: int) -> None:
        """Count from now. Waits, so only while nothing is in flight. CUDA gives times as float: start anew
        for each measurement, or after a minute they are good to 4 microseconds only.
        """
        self._api.record(self._base, stream)
        self._api.wait(self._base)
        self._base_ns = self._clock.now_ns()

    def at_ns(self, event: int) -> int:
        """When an event was reached. Waits for nothing."""
        return self._base_ns + round(self._api.elapsed_ms(self._base, event) * 1e6)

    def close(self) -> None:
        self._api.destroy_event(self._base)


class StageEvents:
    """Events of one slot. To record them waits for nothing; they are read when the run is over."""

    def __init__(self, api: DriverApi, clock: EventClock, slot: int, stream: int, max_batch: int) -> None:
        self._api, self._clock, self._slot, self._stream = api, clock, slot, stream
        self._outside = [api.event(timed=True) for _ in range(3 * max_batch)]
        self._inside: dict[str, int] = {}  # of all graphs of the slot, in the order of the stages
        self._marks: list[tuple[str, int]] = []
        self._stages: list[Stage] = []

    def frame_begins(self, place: int) -> None:
        """Frame number `place` of a batch is uploaded next; with the first one a run begins."""
        if place == 0:
            self._marks.clear()
        self.ended(_GAP)

    def ended(self, name: str) -> None:
        """What was enqueued since the last call was this stage."""
        event = self._outside[len(self._marks)]
        self._api.record(event, self._stream)
        self._marks.append((name, event))

    def graph_begins(self) -> None:
        """While a graph is captured."""
        self.ended_within_graph(_GAP)

    def ended_within_graph(self, name: str) -> None:
        """What was captured since the last call was this stage."""
        if name not in self._inside:
            self._inside[name] = self._api.event(timed=True)
        self._api.record_within_graph(self._inside[name], self._stream)

    def read(self) -> None:
        """Note the stages of the run that is over, which ended with a graph."""
        marks = [*self._marks, *self._inside.items()]
        times_ns = [self._clock.at_ns(event) for _, event in marks]
        self._stages.extend(
            Stage(self._slot, name, start_ns, end_ns)
            for (name, _), start_ns, end_ns in zip(marks[1:], times_ns, times_ns[1:], strict=False)
            if name != _GAP
        )

    def take(self) -> list[Stage]:
        """All stages noted since the last call."""
        taken, self._stages = self._stages, []
        return taken

    def close(self) -> None:
        for event in (*self._outside, *self._inside.values()):
            self._api.destroy_event(event)
