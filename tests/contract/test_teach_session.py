"""Good parts from a recorded session: only those that surely are, as the camera sent them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np
import pytest
from typer.testing import CliRunner

from inspector.cli import app
from inspector.clock import SystemClock
from inspector.detect.model.manifest import load_manifest
from inspector.errors import ConfigError
from inspector.services.session_parts import write_good_parts
from inspector.store.layout import SessionInfo
from inspector.store.reader import SessionReader
from inspector.store.session import SessionWriter
from inspector.topics import DELIVERIES, VERDICTS
from inspector.types import (
    Action,
    Decision,
    Delivery,
    DeliveryState,
    Frame,
    FrameMeta,
    FrameResult,
    PartEvidence,
    ReasonCode,
    ResultStatus,
    Verdict,
    VerdictRecord,
)

PASSED = Verdict(
    verdict_id="v", part_id="P", seq=1, decision=Decision.CONFIRMED_ACTION, action=Action.PASS,
    reason_code=ReasonCode.GOOD, confidence=0.95, p_defect=0.05, weights={"vision": 1.0}, skew_ms=1.0,
    modalities=("vision",), missing=(), cause="", trigger_ns=8, decided_ns=13, deadline_ns=250,
    valid_until_ns=500, failsafe=False, config_sha256="c", model_sha256="d",
)  # fmt: skip
NOT_SURE: list[dict[str, Any]] = [
    {"action": Action.REJECT, "reason_code": ReasonCode.DEFECT},
    {"decision": Decision.PENDING, "action": Action.HOLD, "reason_code": ReasonCode.LOW_CONFIDENCE},
    {"decision": Decision.PENDING, "action": Action.PASS, "reason_code": ReasonCode.LOW_CONFIDENCE},
    {"failsafe": True},
    {"missing": ("sensors",)},
    {"part_id": ""},
    {"decision": Decision.EMERGENCY_BRAKE, "action": Action.STOP, "reason_code": ReasonCode.EMERGENCY},
]


def picture(number: int) -> np.ndarray:
    rng = np.random.default_rng(number)
    image = rng.normal(60, 3, (96, 128)).astype(np.float32)
    cv2.circle(image, (64, 48), 30, 170.0, -1)
    return np.asarray(np.clip(image, 0, 255), dtype=np.uint8)


def record(
    folder: Path,
    verdicts: list[dict[str, Any]],
    *,
    camera: Callable[[int], str] = lambda _number: "cam1",
    frames: bool = True,
    acknowledged: tuple[int, ...] = (),
    pixel_format: str = "Mono8",
    missing_packets: int = 0,
    segment_bytes: int = 1 << 28,
    flush_every: int = 1000,
) -> Path:
    """A session of a part for each of `verdicts` (what differs from PASSED), with its picture."""
    info = SessionInfo(run_id="r", config_sha256="c", model_sha256="d", versions={}, arbiter_setup={})
    with SessionWriter(
        folder, info, clock=SystemClock(), frame_reserve_bytes=0, segment_bytes=segment_bytes
    ) as writer:
        for number, changes in enumerate(verdicts):
            at_ns = 1_000_000 * (number + 1)
            result = FrameResult(
                camera_id=camera(number), frame_id=number, exposure_start_ns=at_ns, received_ns=at_ns,
                model_sha256="d", status=ResultStatus.OK, p_defect=0.05, started_ns=at_ns, finished_ns=at_ns,
            )  # fmt: skip
            names = {"verdict_id": f"v{number}", "part_id": f"P{number}"}
            verdict = msgspec.structs.replace(PASSED, **{**names, **changes})
            evidence = PartEvidence(
                part_id=f"P{number}",
                trigger_ns=at_ns,
                results=(result,),
                window_start_ns=0,
                window_end_ns=at_ns,
            )
            assert writer.write(VERDICTS.name, VerdictRecord(verdict=verdict, evidence=evidence), at_ns)
            if number in acknowledged:
                done = Delivery(
                    verdict_id=f"v{number}",
                    part_id=f"P{number}",
                    state=DeliveryState.ACKNOWLEDGED,
                    at_ns=at_ns,
                )
                assert writer.write(DELIVERIES.name, done, at_ns)
            if frames:
                meta = about(number, camera(number), pixel_format, missing_packets)
                assert writer.write_frame(Frame(meta, picture(number)))
                if number % flush_every == flush_every - 1:
                    writer.flush()
        writer.flush()
    return writer.path


def about(
    number: int, camera_id: str = "cam1", pixel_format: str = "Mono8", missing_packets: int = 0
) -> FrameMeta:
    at_ns = 1_000_000 * (number + 1)
    return FrameMeta(
        camera_id=camera_id, frame_id=number, exposure_start_ns=at_ns, exposure_us=100.0,
        received_ns=at_ns, width_px=128, height_px=96, pixel_format=pixel_format,
        missing_packets=missing_packets,
    )  # fmt: skip


def record_camera(folder: Path, count: int, *, incomplete: tuple[int, ...] = (), model: str = "") -> Path:
    """A session as `inspector camera record` leaves it: frames alone, and of no model."""
    info = SessionInfo(run_id="r", config_sha256="c", model_sha256=model, versions={}, arbiter_setup={})
    with SessionWriter(folder, info, clock=SystemClock(), frame_reserve_bytes=0) as writer:
        for number in range(count):
            meta = about(number, missing_packets=int(number in incomplete))
            assert writer.write_frame(Frame(meta, picture(number)))
    return writer.path


def taken(session: Path, folder: Path, **options: Any) -> list[int]:
    """The numbers of the parts whose pictures were written, found by their pixels."""
    folder.mkdir()
    count = write_good_parts(SessionReader(session), folder, **options)
    images = [np.asarray(cv2.imread(str(path), cv2.IMREAD_UNCHANGED)) for path in sorted(folder.iterdir())]
    assert len(images) == count
    known = {picture(number).tobytes(): number for number in range(40)}
    return [known[image.tobytes()] for image in images]


def test_only_what_was_surely_passed_is_taken(tmp_path: Path) -> None:
    session = record(tmp_path / "s", [{}, *NOT_SURE, {}])
    assert taken(session, tmp_path / "out") == [0, len(NOT_SURE) + 1]


def test_what_people_and_the_plc_say_counts_where_it_is_there(tmp_path: Path) -> None:
    session = record(tmp_path / "s", [{}] * 6, acknowledged=(0, 1, 2, 3))
    assert taken(session, tmp_path / "acknowledged") == [0, 1, 2, 3]
    (session / "labels.csv").write_text("part_id,defective\nP1,no\nP2,yes\nP3,no\nP5,no\n")
    assert taken(session, tmp_path / "labelled") == [1, 3]


def test_so_many_at_most_evenly_over_the_session(tmp_path: Path) -> None:
    session = record(tmp_path / "s", [{}] * 20)
    assert taken(session, tmp_path / "out", most=5) == [0, 4, 8, 12, 16]


def test_pictures_that_are_gone_are_no_part_of_the_choice(tmp_path: Path) -> None:
    session = record(tmp_path / "s", [{}] * 20, segment_bytes=30_000, flush_every=1)
    files = sorted(session.glob("frames-*.mcap"))
    for path in files[: len(files) // 2]:  # as retention does it
        path.unlink()
    left = sorted(frame.meta.frame_id for frame in SessionReader(session).frames())
    assert 5 <= len(left) < 15
    chosen = taken(session, tmp_path / "out", most=5)
    assert chosen == [left[index * len(left) // 5] for index in range(5)]


def test_all_complete_frames_of_camera_record_are_taken(tmp_path: Path) -> None:
    session = record_camera(tmp_path / "s", 8, incomplete=(2, 5))
    assert taken(session, tmp_path / "out") == [0, 1, 3, 4, 6, 7]
    assert taken(session, tmp_path / "few", most=3) == [0, 3, 6]


def test_a_cell_that_judged_nothing_vouches_for_nothing(tmp_path: Path) -> None:
    session = record_camera(tmp_path / "s", 8, model="d")
    with pytest.raises(ConfigError, match="no part was passed with confidence"):
        write_good_parts(SessionReader(session), tmp_path)


def test_several_cameras_take_a_choice(tmp_path: Path) -> None:
    session = record(tmp_path / "s", [{}] * 4, camera=lambda number: f"cam{number % 2}")
    with pytest.raises(ConfigError, match=r"cam0, cam1; choose one with --camera"):
        write_good_parts(SessionReader(session), tmp_path)
    assert taken(session, tmp_path / "out", camera_id="cam1") == [1, 3]
    with pytest.raises(ConfigError, match="no part of camera cam7"):
        write_good_parts(SessionReader(session), tmp_path, camera_id="cam7")


def test_a_colour_camera_gives_colour_pictures(tmp_path: Path) -> None:
    session = record(tmp_path / "s", [{}], pixel_format="BayerRG8")
    (tmp_path / "out").mkdir()
    assert write_good_parts(SessionReader(session), tmp_path / "out") == 1
    image = cv2.imread(str(tmp_path / "out" / "000000.png"), cv2.IMREAD_UNCHANGED)
    wanted = cv2.cvtColor(picture(0), cv2.COLOR_BayerRGGB2BGR)
    np.testing.assert_array_equal(image, wanted)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"verdicts": NOT_SURE}, "no part was passed with confidence"),
        (
            {"verdicts": [{}] * 3, "frames": False},
            "no pictures of its 3 good parts; record with `frames: all`",
        ),
        ({"verdicts": [{}] * 120, "frames": False}, "no pictures of its 120 good parts"),
        ({"verdicts": [{}] * 3, "missing_packets": 2}, "record with `frames: all`"),
    ],
)
def test_without_such_pictures_it_is_one_clear_line(
    tmp_path: Path, options: dict[str, Any], said: str
) -> None:
    session = record(tmp_path / "s", **options)
    with pytest.raises(ConfigError, match=said):
        write_good_parts(SessionReader(session), tmp_path)


def run(*words: object) -> tuple[int, str, BaseException | None]:
    done = CliRunner().invoke(app, ["teach", *(str(word) for word in words)])
    return done.exit_code, done.output, done.exception


def test_from_a_session_to_a_model_and_another_added(tmp_path: Path) -> None:
    first, second = record(tmp_path / "a", [{}] * 8), record(tmp_path / "b", [{}] * 12)
    models = ("--models", tmp_path / "models", "--name", "disc")
    code, said, _ = run("--from-session", first, "--size", "128x96", *models)
    assert code == 0, said
    assert load_manifest(tmp_path / "models" / "disc").how_made.good_images == 8
    code, said, _ = run("--from-session", second, "--add", *models)
    assert code == 0, said
    assert "8 images were there already" in said  # the first eight pictures of both are the same
    assert load_manifest(tmp_path / "models" / "disc").how_made.good_images == 12


def test_teaching_from_what_camera_record_left_says_what_it_takes(tmp_path: Path) -> None:
    session = record_camera(tmp_path / "s", 8, incomplete=(3,))
    models = ("--models", tmp_path / "models", "--name", "disc", "--size", "128x96")
    code, said, _ = run("--from-session", session, *models)
    assert code == 0, said
    assert f"{session}: was recorded without verdicts; 7 frames of it are taken as good parts" in said


def test_an_error_names_the_session(tmp_path: Path) -> None:
    session = record(tmp_path / "s", [{}] * 3)
    _, _, raised = run("--from-session", session, "--models", tmp_path / "models", "--name", "disc")
    assert isinstance(raised, ConfigError)
    assert str(raised).startswith(f"{session}: 3 images")


@pytest.mark.parametrize("source", ["--good", "--from-session"])
def test_adding_takes_a_model_to_add_to(source: str, tmp_path: Path) -> None:
    models = tmp_path / "models"
    _, _, raised = run(source, tmp_path, "--add", "--models", models, "--name", "disc")
    assert isinstance(raised, ConfigError)
    assert str(raised) == f"{models / 'disc'}: no model to add to; teach it first, without --add"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "give --good FOLDER or --from-session SESSION"),
        (("--good", "a", "--from-session", "b"), "give --good FOLDER or --from-session SESSION"),
        (("--good", "a", "--add", "--size", "auto"), "--size: stays as the model was taught"),
        (
            ("--good", "a", "--size", "auto", "--smallest-defect", "9"),
            "--size or --smallest-defect, not both",
        ),
        (("--from-session", "no_such_session"), "no_such_session"),
    ],
)
def test_words_that_do_not_go_together(words: tuple[str, ...], said: str, tmp_path: Path) -> None:
    code, _, raised = run(*words, "--name", "disc", "--models", tmp_path / "models")
    assert code != 0
    assert isinstance(raised, ConfigError)
    assert said in str(raised)
    assert not (tmp_path / "models").exists()
