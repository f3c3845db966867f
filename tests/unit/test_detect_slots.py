"""The slot pipeline when lanes fail, hang or take batches: each run ends when the test says so."""

import queue
from collections.abc import Sequence

import pytest
from tiny_model import tiny_frame

from inspector.clock import NS_PER_MS
from inspector.detect.engines.engine_errors import EngineLostError, RunError
from inspector.detect.engines.outcome import frame_result
from inspector.detect.engines.slots import SlotPipeline
from inspector.detect.model.decode import Decoded
from inspector.errors import DataError, ModelError
from inspector.types import Frame, Heatmap, ResultStatus

HEATMAP = Heatmap(width=1, height=1, data=b"\0")
SECOND = 1000 * NS_PER_MS


class HandClock:
    """Goes only when it is told to."""

    def __init__(self) -> None:
        self.at_ns = 0

    def now_ns(self) -> int:
        return self.at_ns

    def utc_ns(self) -> int:
        return self.at_ns

    def advance(self, duration_ns: int) -> None:
        self.at_ns += duration_ns


class Scripted:
    """A lane whose runs end, well or badly, by `end`."""

    def __init__(self) -> None:
        self.running: Sequence[Frame] = ()
        self.fails_at_start: ModelError | None = None
        self.fails_at_read: ModelError | None = None
        self.ends: queue.SimpleQueue[ModelError | None] = queue.SimpleQueue()

    def start(self, inputs: Sequence[Frame]) -> None:
        if self.fails_at_start is not None:
            raise self.fails_at_start
        self.running = inputs

    def wait(self) -> None:
        error = self.ends.get()
        if error is not None:
            raise error

    def read(self) -> list[Decoded]:
        if self.fails_at_read is not None:
            raise self.fails_at_read
        return [Decoded(float(frame.meta.frame_id), 0.0, (), HEATMAP) for frame in self.running]


class Cell:
    """A pipeline of scripted lanes; `ready` gets one entry for each call of on_ready."""

    def __init__(self, lanes: int = 2) -> None:
        self.lanes = [Scripted() for _ in range(lanes)]
        self.clock = HandClock()
        self.ready: queue.SimpleQueue[None] = queue.SimpleQueue()
        self.pipeline: SlotPipeline[Frame] = SlotPipeline(
            self.lanes,
            self.admit,
            lambda _: None,
            lambda outcome: frame_result(outcome, "sha", 0),
            clock=self.clock,
            on_ready=lambda: self.ready.put(None),
            name="scripted",
        )

    @staticmethod
    def admit(frame: Frame) -> Frame:
        if frame.meta.missing_packets:
            raise DataError("incomplete")
        return frame

    def submit(self, *frame_ids: int) -> Scripted:
        """Submit a batch and return the lane that took it."""
        before = [lane.running for lane in self.lanes]
        self.pipeline.submit([tiny_frame(frame_id) for frame_id in frame_ids])
        return next(lane for lane, old in zip(self.lanes, before, strict=True) if lane.running is not old)

    def end(self, lane: Scripted, error: ModelError | None = None) -> None:
        """End the lane's run and wait until the pipeline knows."""
        lane.ends.put(error)
        self.ready.get(timeout=20)

    def statuses(self) -> list[tuple[int, ResultStatus]]:
        return [(result.frame_id, result.status) for _, result in self.pipeline.collect()]


def test_a_run_that_cannot_start_is_a_failed_frame_and_frees_its_slot() -> None:
    cell = Cell(lanes=1)
    cell.lanes[0].fails_at_start = RunError("out of memory")
    cell.pipeline.submit([tiny_frame(1)])
    ((_, result),) = cell.pipeline.collect()
    assert (result.status, result.reason) == (ResultStatus.ENGINE_ERROR, "out of memory")
    cell.ready.get(timeout=20)
    cell.lanes[0].fails_at_start = None
    cell.end(cell.submit(2))
    assert cell.statuses() == [(2, ResultStatus.OK)]
    assert cell.pipeline.counts.failed == 1
    cell.pipeline.close()


@pytest.mark.parametrize("where", ["wait", "read"])
def test_a_run_that_fails_takes_only_its_own_frame(where: str) -> None:
    cell = Cell()
    first, second = cell.submit(1), cell.submit(2)
    if where == "read":
        first.fails_at_read = RunError("not a number")
    cell.end(first, RunError("illegal shape") if where == "wait" else None)
    cell.end(second)
    assert cell.statuses() == [(1, ResultStatus.ENGINE_ERROR), (2, ResultStatus.OK)]
    assert cell.pipeline.free_slots == 2
    cell.pipeline.close()


def test_a_lost_device_gives_what_was_ready_and_then_raises_for_good() -> None:
    cell = Cell()
    first, second = cell.submit(1), cell.submit(2)
    cell.end(first)
    cell.end(second, EngineLostError("device lost"))
    assert cell.statuses() == [(1, ResultStatus.OK)]
    with pytest.raises(EngineLostError, match="device lost"):
        cell.pipeline.collect()
    with pytest.raises(EngineLostError):
        cell.pipeline.submit([tiny_frame(3)])
    cell.pipeline.close()


def test_a_run_that_never_ends_is_noticed_and_close_does_not_wait_for_it() -> None:
    cell = Cell()
    lane = cell.submit(1)
    for _ in range(41):  # looked at four times a second, ten seconds long
        assert cell.statuses() == []
        cell.clock.advance(SECOND // 4)
    with pytest.raises(EngineLostError, match="computing for 10 s"):
        cell.pipeline.collect()
    cell.pipeline.close()
    lane.ends.put(None)  # let the thread go


def test_a_process_that_was_stopped_for_a_minute_does_not_take_its_engine_for_stuck() -> None:
    cell = Cell()
    lane = cell.submit(1)
    assert cell.statuses() == []
    cell.clock.advance(60 * SECOND)
    assert cell.statuses() == []
    cell.end(lane)
    assert cell.statuses() == [(1, ResultStatus.OK)]
    cell.pipeline.close()


def test_a_batch_takes_one_slot_and_gives_each_frame_its_own_answer() -> None:
    cell = Cell(lanes=1)
    frames = [tiny_frame(1), tiny_frame(2, missing=1), tiny_frame(3)]
    tickets = cell.pipeline.submit(frames)
    assert cell.pipeline.free_slots == 0
    assert [frame.meta.frame_id for frame in cell.lanes[0].running] == [1, 3]
    cell.ready.get(timeout=20)  # for the refused one
    cell.end(cell.lanes[0])
    results = cell.pipeline.collect()
    assert [ticket for ticket, _ in results] == tickets
    assert [result.p_defect for _, result in results] == [1.0, None, 3.0]
    assert cell.pipeline.free_slots == 1
    cell.pipeline.close()


def test_a_cancelled_run_keeps_its_slot_and_its_frame_until_it_ends() -> None:
    cell = Cell(lanes=1)
    (ticket,) = cell.pipeline.submit([tiny_frame(1)])
    assert cell.pipeline.cancel(ticket)
    assert cell.statuses() == [(1, ResultStatus.DROPPED)]
    assert cell.pipeline.free_slots == 0
    cell.ready.get(timeout=20)  # for the cancelled one
    cell.end(cell.lanes[0])
    assert cell.statuses() == []
    assert cell.pipeline.free_slots == 1
    cell.pipeline.close()
