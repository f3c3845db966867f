"""A trace that https://ui.perfetto.dev opens: which frame was where, and when. Pure.

Format: "Trace Event Format" of Chrome, times in microseconds. Complete events on a track must not overlap:
frames in slots are such, frames that wait, of which there may be many at a time, are asynchronous events.
"""

import json
from collections.abc import Sequence
from typing import Final

from inspector.detect.bench.measure import Passage
from inspector.detect.engines.stages import COPIES, Stage

_FRAMES, _DEVICE = 1, 2  # processes of the trace
_WAITING: Final = 0  # track of the frames that wait; slots follow


def perfetto_trace(passages: Sequence[Passage], slots: int, title: str, stages: Sequence[Stage] = ()) -> str:
    """JSON with one track for each slot's frames, and one for each frame that waits while others do.

    `stages` of runs make tracks of their own, one for each slot of the device.
    """
    origin_ns = min((passage.ready_ns for passage in passages), default=0)
    events: list[dict[str, object]] = [_name("process_name", _FRAMES, _WAITING, title)]
    events += [_name("thread_name", _FRAMES, slot + 1, f"slot {slot}") for slot in range(slots)]
    for index, (passage, slot) in enumerate(zip(passages, slots_of(passages, slots), strict=True)):
        if passage.submitted_ns > passage.ready_ns:
            events.append(_wait(index, "b", passage.ready_ns - origin_ns))
            events.append(_wait(index, "e", passage.submitted_ns - origin_ns))
        start_ns, end_ns = passage.submitted_ns - origin_ns, passage.collected_ns - origin_ns
        events.append(_span(f"frame {passage.number}", "frame", (_FRAMES, slot + 1), start_ns, end_ns))
    events += _device(stages, origin_ns, title)
    return json.dumps({"traceEvents": events, "displayTimeUnit": "ms"})


def slots_of(passages: Sequence[Passage], slots: int) -> list[int]:
    """A track for each frame on which no other is at that time."""
    free_ns = [0] * slots
    chosen = []
    for passage in passages:
        slot = next((s for s in range(slots) if free_ns[s] <= passage.submitted_ns), slots - 1)
        free_ns[slot] = passage.collected_ns
        chosen.append(slot)
    return chosen


def _device(stages: Sequence[Stage], origin_ns: int, title: str) -> list[dict[str, object]]:
    if not stages:
        return []
    events = [_name("process_name", _DEVICE, _WAITING, f"{title}: on the device")]
    for slot in sorted({stage.slot for stage in stages}):
        events.append(_name("thread_name", _DEVICE, slot + 1, f"stages of slot {slot}"))
    for stage in stages:
        kind = "copy" if stage.name in COPIES else "kernel"
        start_ns, end_ns = stage.start_ns - origin_ns, stage.end_ns - origin_ns
        events.append(_span(stage.name, kind, (_DEVICE, stage.slot + 1), start_ns, end_ns))
    return events


def _span(name: str, kind: str, track: tuple[int, int], start_ns: int, end_ns: int) -> dict[str, object]:
    return {
        "name": name, "cat": kind, "ph": "X", "pid": track[0], "tid": track[1],
        "ts": start_ns / 1e3, "dur": (end_ns - start_ns) / 1e3,
    }  # fmt: skip


def _wait(index: int, phase: str, at_ns: int) -> dict[str, object]:
    return {
        "name": "waiting", "cat": "waiting", "ph": phase, "id": index, "pid": _FRAMES, "tid": _WAITING,
        "ts": at_ns / 1e3,
    }  # fmt: skip


def _name(what: str, process: int, track: int, name: str) -> dict[str, object]:
    return {"name": what, "ph": "M", "pid": process, "tid": track, "args": {"name": name}}
