"""A trace that https://ui.perfetto.dev opens: which frame was where, and when. Pure.

Format: "Trace Event Format" of Chrome, times in microseconds. Complete events on a track must not overlap:
frames in slots are such, frames that wait, of which there may be many at a time, are asynchronous events.
"""

import json
from collections.abc import Sequence

from inspector.detect.bench.measure import Passage


def perfetto_trace(passages: Sequence[Passage], slots: int, title: str) -> str:
    """JSON with one track for each slot, and one for each frame that waits at the same time as others."""
    origin = min((passage.ready_ns for passage in passages), default=0)
    events: list[dict[str, object]] = [_name("process_name", 0, title)]
    events += [_name("thread_name", slot + 1, f"slot {slot}") for slot in range(slots)]
    for index, (passage, slot) in enumerate(zip(passages, slots_of(passages, slots), strict=True)):
        if passage.submitted_ns > passage.ready_ns:
            events.append(_wait(index, "b", passage.ready_ns - origin))
            events.append(_wait(index, "e", passage.submitted_ns - origin))
        events.append(
            _span(passage.number, slot + 1, passage.submitted_ns - origin, passage.collected_ns - origin)
        )
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


def _span(number: int, track: int, start_ns: int, end_ns: int) -> dict[str, object]:
    return {
        "name": f"frame {number}", "ph": "X", "pid": 1, "tid": track,
        "ts": start_ns / 1e3, "dur": (end_ns - start_ns) / 1e3,
    }  # fmt: skip


def _wait(index: int, phase: str, at_ns: int) -> dict[str, object]:
    return {
        "name": "waiting",
        "cat": "waiting",
        "ph": phase,
        "id": index,
        "pid": 1,
        "tid": 0,
        "ts": at_ns / 1e3,
    }


def _name(what: str, track: int, name: str) -> dict[str, object]:
    return {"name": what, "ph": "M", "pid": 1, "tid": track, "args": {"name": name}}
