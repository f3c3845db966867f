"""A trace that https://ui.perfetto.dev opens: which frame was where, and when. Pure.

Format: "Trace Event Format" of Chrome, complete events; times in microseconds.
"""

import json
from collections.abc import Sequence

from inspector.detect.bench.measure import Passage


def perfetto_trace(passages: Sequence[Passage], slots: int, title: str) -> str:
    """JSON with one track for waiting frames and one for each slot."""
    origin = min((passage.ready_ns for passage in passages), default=0)
    events: list[dict[str, object]] = [_name("process_name", 0, title), _name("thread_name", 0, "waiting")]
    events += [_name("thread_name", slot + 1, f"slot {slot}") for slot in range(slots)]
    for passage, slot in zip(passages, slots_of(passages, slots), strict=True):
        if passage.submitted_ns > passage.ready_ns:
            events.append(_span(passage.number, 0, passage.ready_ns - origin, passage.submitted_ns - origin))
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


def _name(what: str, track: int, name: str) -> dict[str, object]:
    return {"name": what, "ph": "M", "pid": 1, "tid": track, "args": {"name": name}}
