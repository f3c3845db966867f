"""A session as one file for viewers, that file as a session again, and a session as a regression test."""

import base64
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import typer
from mcap.reader import make_reader
from typer.testing import CliRunner

from inspector.config import ArbiterSetup, DecisionConfig
from inspector.errors import ConfigError
from inspector.services import replay_commands
from inspector.store import session_commands
from inspector.store.commands import arbiter_of
from inspector.store.export import export_session, import_session
from inspector.store.layout import SessionInfo
from inspector.store.reader import SessionReader
from inspector.store.session import RECORDED, SessionWriter
from inspector.strict_data import to_plain
from inspector.types import (
    Detection,
    Frame,
    FrameMeta,
    FrameResult,
    JournalEntry,
    PartTrigger,
    Quality,
    ResultStatus,
    SensorEvent,
)

MS = 1_000_000
PARTS = 30
SETUP = ArbiterSetup(
    decision=DecisionConfig(),
    cameras=("cam1",),
    expected_sensors=("force",),
    config_sha256="",
    model_sha256="m",
)


def frame(number: int, pixel_format: str) -> Frame:
    rng = np.random.default_rng(number)
    shape = (24, 32, 3) if pixel_format == "RGB8" else (24, 32)
    dtype: Any = np.uint16 if pixel_format == "Mono12" else np.uint8
    image = rng.integers(0, 4096 if dtype is np.uint16 else 256, shape).astype(dtype)
    meta = FrameMeta(
        camera_id="cam1", frame_id=number, exposure_start_ns=number * 300 * MS, exposure_us=100.0,
        received_ns=number * 300 * MS + 8 * MS, width_px=32, height_px=24, pixel_format=pixel_format,
    )  # fmt: skip
    return Frame(meta, image)


def result(number: int) -> FrameResult:
    at_ns = number * 300 * MS
    found = (Detection(label="dent", score=0.97, box_px=(4, 6, 14, 12)),) if number % 3 == 0 else ()
    return FrameResult(
        camera_id="cam1", frame_id=number, exposure_start_ns=at_ns, clock_uncertainty_us=1.0,
        received_ns=at_ns + 8 * MS, model_sha256="m", status=ResultStatus.OK,
        p_defect=0.97 if found else 0.02, detections=found, started_ns=at_ns, finished_ns=at_ns + 20 * MS,
    )  # fmt: skip


def event(number: int) -> SensorEvent:
    at_ns = number * 300 * MS - 2 * MS
    urgency = 0.9 if number == 20 else 0.0
    return SensorEvent(
        sensor_id="force", kind="force", value=42.0, unit="N", quality=Quality.GOOD, urgency=urgency,
        p_defect=0.5, seq=number, observed_ns=at_ns, received_ns=at_ns,
    )  # fmt: skip


@pytest.fixture(params=["Mono8", "RGB8", "Mono12", "BayerRG8"])
def session(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A session as a cell leaves it: what the arbiter said to what it was given, and the pictures."""
    info = SessionInfo(
        run_id="r",
        config_sha256="",
        model_sha256="m",
        versions={},
        arbiter_setup=to_plain(SETUP),
    )
    decider = arbiter_of(SETUP)
    seq = 0
    with SessionWriter(tmp_path / "sessions", info, {"site.json": "{}"}) as writer:

        def take(now_ns: int, **item: Any) -> None:
            nonlocal seq
            seq += 1
            entry = JournalEntry(seq=seq, epoch="e", now_ns=now_ns, **item)
            for record in decider.decide(entry):
                writer.write("verdicts", record, now_ns)
            writer.write("journal", entry, now_ns)

        for number in range(1, PARTS + 1):
            at_ns = number * 300 * MS
            take(at_ns - MS, event=event(number))
            trigger = PartTrigger(part_id=f"P{number}", seq=number, trigger_ns=at_ns, received_ns=at_ns)
            take(at_ns, trigger=trigger)
            writer.write_frame(frame(number, request.param))
            writer.write("results", result(number), at_ns + 20 * MS)
            take(at_ns + 20 * MS, result=result(number))
    return writer.path


def app() -> typer.Typer:
    it = typer.Typer()
    it.command()(replay_commands.replay)
    it.add_typer(session_commands.app, name="session")
    return it


def messages(file: Path, topic: str) -> list[dict[str, Any]]:
    with file.open("rb") as stream:
        return [json.loads(message.data) for _, _, message in make_reader(stream).iter_messages([topic])]


def test_viewers_find_pictures_boxes_readings_and_a_timeline(session: Path, tmp_path: Path) -> None:
    file = tmp_path / "out.mcap"
    done = export_session(SessionReader(session), file)
    assert done.frames == PARTS
    with file.open("rb") as stream:
        summary = make_reader(stream, validate_crcs=True).get_summary()
    assert summary is not None
    named = {channel.topic: summary.schemas[channel.schema_id].name for channel in summary.channels.values()}
    assert named["images/cam1"] == "foxglove.CompressedImage"
    assert named["boxes/cam1"] == "foxglove.ImageAnnotations"
    assert named["timeline"] == "foxglove.Log"
    for schema in summary.schemas.values():
        assert json.loads(schema.data)["type"] == "object"
    images, boxes = messages(file, "images/cam1"), messages(file, "boxes/cam1")
    assert cv2.imdecode(np.frombuffer(base64.b64decode(images[0]["data"]), np.uint8), -1) is not None
    # A box is drawn on the picture of its own time.
    times = [image["timestamp"] for image in images]
    marked = [each for each in boxes if each["points"]]
    assert len(marked) == PARTS // 3
    assert all(each["points"][0]["timestamp"] in times for each in marked)
    assert marked[0]["points"][0]["points"] == [
        {"x": 4.0, "y": 6.0},
        {"x": 14.0, "y": 6.0},
        {"x": 14.0, "y": 12.0},
        {"x": 4.0, "y": 12.0},
    ]
    lines = [line["message"] for line in messages(file, "timeline")]
    assert lines[0].startswith("P1 PASS GOOD")
    assert any(line.startswith("LINE STOP EMERGENCY") for line in lines)
    assert [reading["value"] for reading in messages(file, "readings/force")] == [42.0] * PARTS


def test_an_import_is_the_session_again(session: Path, tmp_path: Path) -> None:
    file = tmp_path / "out.mcap"
    export_session(SessionReader(session), file)
    folder, _ = import_session(file, tmp_path / "imported")
    one, other = SessionReader(session), SessionReader(folder)
    assert other.meta == one.meta
    assert other.config_files() == one.config_files()
    assert other.complete
    for topic in RECORDED.values():
        assert list(other.messages(topic)) == list(one.messages(topic))
    for was, now in zip(one.frames(), other.frames(), strict=True):
        assert was.meta == now.meta
        assert was.image.dtype == now.image.dtype
        assert np.array_equal(was.image, now.image)
    with pytest.raises(ConfigError, match="is there already"):
        import_session(file, tmp_path / "imported")


def test_what_is_no_export_says_so(tmp_path: Path) -> None:
    other = tmp_path / "other.mcap"
    other.write_bytes(b"no mcap")
    with pytest.raises(ConfigError, match="not an MCAP file"):
        import_session(other, tmp_path)
    with pytest.raises(ConfigError, match="no such file"):
        import_session(tmp_path / "none.mcap", tmp_path)


def test_a_session_becomes_a_regression_test_with_one_command(session: Path, tmp_path: Path) -> None:
    kept = tmp_path / "replay" / "emergency"
    assert CliRunner().invoke(app(), ["session", "keep", str(session), str(kept)]).exit_code == 0
    assert not list(kept.glob("frames-*"))
    done = CliRunner().invoke(app(), ["replay", str(kept), str(session), "--json"])
    assert done.exit_code == 0, done.output


REPLAY = """
import sys
from inspector.store.commands import arbiter
from inspector.store.commands import replay_command
from pathlib import Path
sys.exit(replay_command(Path(sys.argv[1]), arbiter, speed=float(sys.argv[2]) or None, as_json=True))
"""


@pytest.mark.parametrize("session", ["Mono8"], indirect=True)
def test_the_verdicts_are_the_same_at_any_speed_on_any_number_of_cores(session: Path) -> None:
    reports = []
    cores = sorted(os.sched_getaffinity(0))
    for speed, used, hash_seed in (("0", cores, "0"), ("0", cores[:1], "1"), ("20", cores[:1], "2")):
        done = subprocess.run(
            [sys.executable, "-c", REPLAY, str(session), speed],
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            preexec_fn=lambda used=used: os.sched_setaffinity(0, used),  # type: ignore[misc]
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        reports.append(json.loads(done.stdout))
    assert reports[0] == reports[1] == reports[2]
    assert reports[0]["equal"] >= PARTS
