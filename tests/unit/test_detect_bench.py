"""inspector bench: figures from passages, the trace, and the command on the CPU engine."""

import json
from pathlib import Path

import pytest
from tiny_model import write_tiny_model
from typer.testing import CliRunner

from inspector.detect.bench.commands import app
from inspector.detect.bench.measure import Passage, figures
from inspector.detect.bench.trace import perfetto_trace, slots_of

MS = 1_000_000


def passages(count: int, every_ms: int, takes_ms: int) -> list[Passage]:
    return [
        Passage(i, i * every_ms * MS, i * every_ms * MS, (i * every_ms + takes_ms) * MS) for i in range(count)
    ]


def test_figures_of_a_pipeline_that_overlaps_two_frames() -> None:
    found = figures([10 * MS] * 5, passages(100, 10, 20), passages(10, 50, 11), passages(10, 33, 12), 30.0)
    assert found.alone_fps == pytest.approx(100)
    assert found.of_alone == pytest.approx(0.99, abs=0.01)  # the last frame ends late
    assert found.overlap == pytest.approx(2, abs=0.05)
    assert found.overhead_ms == pytest.approx(1)
    assert (found.paced_p50_ms, found.paced_p99_ms) == (12, 12)


def test_the_trace_has_each_frame_once_in_its_slot_and_no_two_in_one() -> None:
    way = [Passage(0, 0, 1 * MS, 5 * MS), Passage(1, 0, 2 * MS, 8 * MS), Passage(2, 0, 6 * MS, 9 * MS)]
    assert slots_of(way, 2) == [0, 1, 0]
    events = json.loads(perfetto_trace(way, 2, "tiny"))["traceEvents"]
    spans = [(e["name"], e["tid"], e["ts"], e["dur"]) for e in events if e["ph"] == "X" and e["tid"] > 0]
    assert spans == [("frame 0", 1, 1000, 4000), ("frame 1", 2, 2000, 6000), ("frame 2", 1, 6000, 3000)]
    assert {e["args"]["name"] for e in events if e["ph"] == "M"} == {"tiny", "slot 0", "slot 1"}


def test_the_trace_is_what_perfetto_reads() -> None:
    """Its importer drops events without these keys, and spans of one track that overlap."""
    way = [Passage(i, i * 3 * MS, i * 3 * MS + 7 * MS, i * 3 * MS + 15 * MS) for i in range(40)]
    whole = json.loads(perfetto_trace(way, 3, 'a "name" with ü'))
    assert set(whole) == {"traceEvents", "displayTimeUnit"}
    assert whole["displayTimeUnit"] in {"ms", "ns"}
    ends: dict[int, float] = {}
    waits: dict[int, list[tuple[str, float]]] = {}
    for event in whole["traceEvents"]:
        assert isinstance(event["name"], str)
        assert isinstance(event["pid"], int)
        assert isinstance(event["tid"], int)
        if event["ph"] == "M":
            assert isinstance(event["args"]["name"], str)
        elif event["ph"] == "X":
            assert event["ts"] >= ends.get(event["tid"], 0.0)
            assert event["dur"] >= 0
            ends[event["tid"]] = event["ts"] + event["dur"]
        else:
            assert event["cat"] == "waiting"
            waits.setdefault(event["id"], []).append((event["ph"], event["ts"]))
    assert len(waits) == 40
    for begin, end in waits.values():
        assert (begin[0], end[0]) == ("b", "e")
        assert begin[1] < end[1]


def test_the_commands_print_a_table_and_write_a_trace(tmp_path: Path) -> None:
    write_tiny_model(tmp_path / "tiny")
    common = ["tiny", "--models", str(tmp_path), "--frames", "20"]
    alone = CliRunner().invoke(app, ["engine", *common])
    assert alone.exit_code == 0, alone.output
    assert "frames/s, P50" in alone.output
    trace = tmp_path / "trace.json"
    whole = CliRunner().invoke(app, ["pipeline", *common, "--fps", "200", "--trace", str(trace)])
    assert whole.exit_code == 0, whole.output
    for row in ("network alone", "3 slots, full", "one at a time", "with idle gaps"):
        assert row in whole.output
    names = [e["name"] for e in json.loads(trace.read_text())["traceEvents"] if e["ph"] == "X"]
    assert names.count("frame 19") >= 2  # full and paced
