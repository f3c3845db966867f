"""Pure: what the demo saw, to the summary that it prints."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from inspector.types import VerdictRecord

STAGES = ("acquire", "queue", "detect", "decide", "deliver")
"""Exposure to frame complete, to inference begun, to result, to verdict, to the MQTT subscriber."""


@dataclass
class Measured:
    """Verdicts by id, as decided and as they reached the subscriber (monotonic ns)."""

    records: dict[str, VerdictRecord] = field(default_factory=dict)
    received_ns: dict[str, int] = field(default_factory=dict)

    def latency_ms(self, verdict_id: str) -> float | None:
        """From the last frame complete to the verdict at the subscriber; None without a frame."""
        record, received_ns = self.records.get(verdict_id), self.received_ns.get(verdict_id)
        if record is None or received_ns is None or not record.evidence.results:
            return None
        return (received_ns - max(result.received_ns for result in record.evidence.results)) / 1e6

    def stages_ms(self, verdict_id: str) -> dict[str, float] | None:
        """Where that time went; None without a frame."""
        record, received_ns = self.records.get(verdict_id), self.received_ns.get(verdict_id)
        if record is None or received_ns is None or not record.evidence.results:
            return None
        last = max(record.evidence.results, key=lambda result: result.finished_ns)
        marks = (
            last.exposure_start_ns,
            last.received_ns,
            last.started_ns,
            last.finished_ns,
            record.verdict.decided_ns,
            received_ns,
        )
        return {
            name: (end - begin) / 1e6 for name, begin, end in zip(STAGES, marks[:-1], marks[1:], strict=True)
        }


def percentiles(values: Iterable[float]) -> dict[str, float | None]:
    """P50, P95 and P99, rounded to a microsecond where the values are in ms; None of nothing."""
    data = np.fromiter(values, float)
    if data.size == 0:
        return {"p50": None, "p95": None, "p99": None}
    return {f"p{q}": round(float(np.percentile(data, q)), 3) for q in (50, 95, 99)}


def summarise(
    score: Mapping[str, Any], measured: Measured, counters: Mapping[str, Mapping[str, float]]
) -> dict[str, Any]:
    """Join the line's score, the measured times and the services' counters."""
    ids = list(measured.records)
    stages = [stage for stage in map(measured.stages_ms, ids) if stage is not None]
    latencies = [latency for latency in map(measured.latency_ms, ids) if latency is not None]
    cameras = [values for name, values in counters.items() if name.startswith("camera.")]
    lost = sum(values.get("frames_lost", 0) + values.get("frames_incomplete", 0) for values in cameras)
    lost += counters.get("detector", {}).get("frames_dropped", 0)
    return {
        **score,
        "frames_lost": int(lost),
        "latency_ms": percentiles(latencies),
        "stages_ms": {name: percentiles(stage[name] for stage in stages) for name in STAGES},
    }
