"""inspector bench: figures from passages, the trace, and the command on the CPU engine."""

import json
from pathlib import Path

import pytest
from tiny_model import write_tiny_model
from typer.testing import CliRunner

from inspector.detect.bench.commands import app
from inspector.detect.bench.measure import Passage, figures
from inspector.detect.bench.trace import perfetto_trace, slots_of
from inspector.detect.engines.stages import COPY_IN, COPY_OUT, DECODING, NETWORK, PREPARATION, Stage

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
    assert found.copies_hidden is None


def test_copies_hidden_are_those_of_the_full_pipeline() -> None:
    stages = [Stage(0, COPY_IN, 0, 4), Stage(1, NETWORK, 1, 9)]
    full = passages(10, 10, 20)
    assert figures([10 * MS], full, full, full, 30.0, stages=stages).copies_hidden == 0.75


def test_the_trace_has_each_frame_once_in_its_slot_and_no_two_in_one() -> None:
    way = [Passage(0, 0, 1 * MS, 5 * MS), Passage(1, 0, 2 * MS, 8 * MS), Passage(2, 0, 6 * MS, 9 * MS)]
    assert slots_of(way, 2) == [0, 1, 0]
    events = json.loads(perfetto_trace(way, 2, "tiny"))["traceEvents"]
    spans = [(e["name"], e["tid"], e["ts"], e["dur"]) for e in events if e["ph"] == "X" and e["tid"] > 0]
    assert spans == [("frame 0", 1, 1000, 4000), ("frame 1", 2, 2000, 6000), ("frame 2", 1, 6000, 3000)]
    assert {e["args"]["name"] for e in events if e["ph"] == "M"} == {"tiny", "slot 0", "slot 1"}


def test_the_trace_is_what_perfetto_reads() -> None:
    """Its importer drops events without these keys, and spans of one track that overlap without nesting."""
    way = [Passage(i, i * 3 * MS, i * 3 * MS + 7 * MS, i * 3 * MS + 15 * MS) for i in range(40)]
    stages = [
        Stage(slot, name, at + 1000 * part, at + 1000 * part + 1000)
        for slot in range(3)
        for at in range(7 * MS, 50 * MS, MS)
        for part, name in enumerate((COPY_IN, PREPARATION, NETWORK, DECODING, COPY_OUT))
    ]
    whole = json.loads(perfetto_trace(way, 3, 'a "name" with ü', stages))
    assert set(whole) == {"traceEvents", "displayTimeUnit"}
    assert whole["displayTimeUnit"] in {"ms", "ns"}
    ends_ns: dict[tuple[int, int], int] = {}
    waits: dict[int, list[tuple[str, float]]] = {}
    named = set()
    for event in whole["traceEvents"]:
        assert isinstance(event["name"], str)
        assert isinstance(event["pid"], int)
        assert isinstance(event["tid"], int)
        track = event["pid"], event["tid"]
        if event["ph"] == "M":
            assert event["name"] in {"process_name", "thread_name"}
            assert isinstance(event["args"]["name"], str)
            named.add(track)
        elif event["ph"] == "X":
            start_ns, duration_ns = round(event["ts"] * 1000), round(event["dur"] * 1000)
            assert track in named
            assert start_ns >= ends_ns.get(track, 0)
            assert duration_ns >= 0
            ends_ns[track] = start_ns + duration_ns
        else:
            assert event["cat"] == "waiting"
            waits.setdefault(event["id"], []).append((event["ph"], event["ts"]))
    assert len(ends_ns) == 6  # three slots, and their stages
    assert len(waits) == 40
    for begin, end in waits.values():
        assert (begin[0], end[0]) == ("b", "e")
        assert begin[1] < end[1]


def test_each_stage_is_on_its_slots_own_track() -> None:
    stages = [Stage(0, COPY_IN, 2 * MS, 3 * MS), Stage(1, NETWORK, 2 * MS, 4 * MS)]
    events = json.loads(perfetto_trace([Passage(0, MS, MS, 5 * MS)], 2, "tiny", stages))["traceEvents"]
    names = {(e["pid"], e["tid"]): e["args"]["name"] for e in events if e["name"] == "thread_name"}
    spans = [
        (e["name"], e["cat"], names[e["pid"], e["tid"]], e["ts"], e["dur"]) for e in events if e["ph"] == "X"
    ]
    assert spans == [
        ("frame 0", "frame", "slot 0", 0, 4000),
        (COPY_IN, "copy", "stages of slot 0", 1000, 1000),
        (NETWORK, "kernel", "stages of slot 1", 1000, 2000),
    ]
    assert (1, 1) in names
    assert (2, 1) in names


def test_the_commands_print_a_table_and_write_a_trace(tmp_path: Path) -> None:
    write_tiny_model(tmp_path / "tiny")
    common = ["tiny", "--models", str(tmp_path), "--frames", "20"]
    alone = CliRunner().invoke(app, ["engine", *common])
    assert alone.exit_code == 0, alone.output
    assert "frames/s, P50" in alone.output
    trace = tmp_path / "trace.json"
    whole = CliRunner().invoke(app, ["pipeline", *common, "--fps", "200", "--trace", str(trace), "--json"])
    assert whole.exit_code == 0, whole.output
    for row in ("network alone", "3 slots, full", "one at a time", "with idle gaps"):
        assert row in whole.output
    names = [e["name"] for e in json.loads(trace.read_text())["traceEvents"] if e["ph"] == "X"]
    assert names.count("frame 19") >= 2  # full and paced
    assert "copies hidden" not in whole.output  # a CPU copies nothing
    found = json.loads(whole.stdout.strip().splitlines()[-1])
    assert (found["model"], found["engine"], found["copies_hidden"]) == ("tiny", "openvino", None)
    assert found["of_alone"] == pytest.approx(found["full_fps"] / found["alone_fps"])
