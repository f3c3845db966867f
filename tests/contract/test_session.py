"""A session reads back as it was written, by us and by the official MCAP reader."""

import json
from collections.abc import Iterator
from pathlib import Path

import mcap.writer
import msgspec
import numpy as np
import pytest
from mcap.reader import make_reader

from inspector import topics
from inspector.clock import NS_PER_S
from inspector.errors import ConfigError, DataError, InvariantError, StoreError
from inspector.store.layout import META_NAME, SessionInfo, is_running, segments
from inspector.store.reader import SessionReader
from inspector.store.session import RECORDED, SessionWriter
from inspector.types import (
    Action,
    Decision,
    Delivery,
    DeliveryState,
    Detection,
    Explanation,
    ExplanationSource,
    Fault,
    Frame,
    FrameMeta,
    FrameResult,
    Health,
    Heatmap,
    JournalEntry,
    Message,
    Opinion,
    PartEvidence,
    Quality,
    ReasonCode,
    ResultStatus,
    SensorEvent,
    ServiceState,
    Verdict,
    VerdictRecord,
)

START_NS = 5 * NS_PER_S
UTC_NS = 1_763_823_815 * NS_PER_S + 123_456_789


class Clock:
    def __init__(self) -> None:
        self.monotonic_ns = START_NS

    def now_ns(self) -> int:
        return self.monotonic_ns

    def utc_ns(self) -> int:
        return UTC_NS + self.monotonic_ns - START_NS


INFO = SessionInfo(
    run_id="run-1",
    config_sha256="c" * 64,
    model_sha256="d" * 64,
    versions={"inspector-cell": "0.1.0"},
    arbiter_setup={"decision": {"deadline_ms": 250, "weight": 0.1 + 0.2}, "cameras": ["cam1"]},
)
RESULT = FrameResult(
    camera_id="cam1",
    frame_id=7,
    exposure_start_ns=10,
    received_ns=9_007_199_254_740_993,  # 2**53 + 1: not a double
    model_sha256="d" * 64,
    status=ResultStatus.OK,
    p_defect=0.1 + 0.2,
    detections=(Detection(label="Kratzer ß", score=1e-300, box_px=(1, 2, 3, 4), area_mm2=None),),
    heatmap=Heatmap(width=3, height=2, data=bytes(range(250, 256))),
    started_ns=11,
    finished_ns=12,
)
EVENT = SensorEvent(
    sensor_id="vib1",
    kind="vibration",
    value=1.5,
    unit="mm/s",
    quality=Quality.GOOD,
    urgency=0.2,
    seq=3,
    observed_ns=9,
    received_ns=10,
)
EVIDENCE = PartEvidence(
    part_id="P1",
    trigger_ns=8,
    results=(RESULT,),
    events=(EVENT,),
    missing=("vision.cam2",),
    window_start_ns=0,
    window_end_ns=20,
)
VERDICT = Verdict(
    verdict_id="e-1",
    part_id="P1",
    seq=1,
    decision=Decision.CONFIRMED_ACTION,
    action=Action.REJECT,
    reason_code=ReasonCode.DEFECT,
    confidence=0.91,
    p_defect=0.91,
    weights={"vision": 0.6, "second": 0.4},
    skew_ms=1.25,
    modalities=("vision",),
    missing=(),
    cause="Kratzer ß",
    trigger_ns=8,
    decided_ns=13,
    deadline_ns=250,
    valid_until_ns=500,
    failsafe=False,
    config_sha256="c" * 64,
    model_sha256="d" * 64,
)
OPINION = Opinion(part_id="P1", p_defect=0.5, latency_ms=810.0, model_sha256="e" * 64)
MESSAGES: dict[str, Message] = {
    "journal": JournalEntry(seq=1, epoch="e", now_ns=13, result=RESULT),
    "verdicts": VerdictRecord(verdict=VERDICT, evidence=EVIDENCE),
    "results": RESULT,
    "opinions": OPINION,
    "explanations": Explanation(
        verdict_id="e-1",
        part_id="P1",
        text="A scratch.",
        cause="scratch",
        recommended_action="check the gripper",
        source=ExplanationSource.TEMPLATE,
        cited=("d0",),
        model_sha256="",
        latency_ms=0.1,
    ),
    "deliveries": Delivery(verdict_id="e-1", part_id="P1", state=DeliveryState.DELIVERED, at_ns=14),
    "faults": Fault(service="camera.cam1", code="CAMERA_LOST", text="check the cable", at_ns=15),
    "health": Health(
        service="detector",
        pid=1,
        state=ServiceState.READY,
        detail="",
        at_ns=16,
        counters={"frames": 3.0},
    ),
}


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def writer(tmp_path: Path, clock: Clock) -> Iterator[SessionWriter]:
    with SessionWriter(
        tmp_path, INFO, {"site.yaml": "base_topic: a\n"}, clock=clock, frame_reserve_bytes=0
    ) as it:
        yield it


def frame(frame_id: int, image: np.ndarray, pixel_format: str = "Mono8", camera: str = "cam1") -> Frame:
    meta = FrameMeta(
        camera_id=camera,
        frame_id=frame_id,
        exposure_start_ns=1000 * frame_id,
        exposure_us=50.5,
        received_ns=1000 * frame_id + 500,
        width_px=image.shape[1],
        height_px=image.shape[0],
        pixel_format=pixel_format,
        encoder_ticks=frame_id,
    )
    return Frame(meta, image)


def test_every_message_reads_back_equal(writer: SessionWriter) -> None:
    assert set(MESSAGES) == set(RECORDED)
    for name, message in MESSAGES.items():
        writer.write(name, message, 100)
    writer.close()
    reader = SessionReader(writer.path)
    for name, message in MESSAGES.items():
        assert list(reader.messages(RECORDED[name])) == [message]
    assert reader.complete
    assert reader.warnings == ()


def test_metadata_and_configuration_are_kept_as_given(writer: SessionWriter) -> None:
    writer.close()
    reader = SessionReader(writer.path)
    assert reader.meta.info == INFO
    assert reader.config_files() == {"site.yaml": "base_topic: a\n"}
    assert reader.path.name == "2025-11-22T15-03-35Z"
    assert reader.meta.started_utc_ns == UTC_NS
    assert reader.meta.utc_offset_ns == UTC_NS - START_NS


@pytest.mark.parametrize(
    ("shape", "dtype", "pixel_format"),
    [
        ((4, 6), np.uint8, "Mono8"),
        ((4, 6), np.uint8, "BayerRG8"),
        ((4, 6), np.uint8, "Confidence8"),
        ((5, 3), np.uint16, "Mono12"),
        ((5, 3), np.uint16, "BayerGR10"),
        ((2, 7, 3), np.uint8, "RGB8"),
        ((2, 7, 3), np.uint8, "YCbCr8"),
    ],
)
def test_frames_read_back_equal_and_read_only(
    writer: SessionWriter, shape: tuple[int, ...], dtype: type, pixel_format: str
) -> None:
    rng = np.random.default_rng(1)
    given = frame(1, rng.integers(0, np.iinfo(dtype).max, shape, dtype), pixel_format)
    writer.write_frame(given)
    writer.close()
    (read,) = SessionReader(writer.path).frames()
    assert read.meta == given.meta
    assert read.image.dtype == dtype
    assert np.array_equal(read.image, given.image)
    assert not read.image.flags.writeable


def test_frame_of_a_cut_out_view_and_reuse_of_its_memory(writer: SessionWriter) -> None:
    memory = np.arange(100, dtype=np.uint8).reshape(10, 10)
    view = memory[2:8:2, 1:7]
    want = view.copy()
    writer.write_frame(frame(1, view))
    memory[:] = 0
    writer.close()
    (read,) = SessionReader(writer.path).frames("cam1")
    assert np.array_equal(read.image, want)


def test_image_that_cannot_be_recorded_is_a_data_error(writer: SessionWriter) -> None:
    with pytest.raises(DataError, match="float32"):
        writer.write_frame(frame(1, np.zeros((2, 2), np.float32)))


def test_frames_by_camera_time_and_id_in_many_segments(tmp_path: Path, clock: Clock) -> None:
    with SessionWriter(tmp_path, INFO, clock=clock, segment_bytes=1 << 16, frame_reserve_bytes=0) as writer:
        for number in range(30):
            image = np.full((64, 64), number, np.uint8)
            writer.write_frame(frame(number, image, camera=f"cam{number % 2}"))
            writer.flush()
    files = [s for s in segments(writer.path) if s.frames]
    assert len(files) > 1
    reader = SessionReader(writer.path)
    assert [f.meta.frame_id for f in reader.frames()] == list(range(30))
    assert [f.meta.frame_id for f in reader.frames("cam1")] == list(range(1, 30, 2))
    window = reader.frames(start_ns=10_500, end_ns=13_500)
    assert [(f.meta.frame_id, int(f.image[0, 0])) for f in window] == [(10, 10), (11, 11), (12, 12)]
    found = reader.frame("cam1", 21, 21_500)
    assert found is not None
    assert found.image[0, 0] == 21
    assert reader.frame("cam1", 99, 21_500) is None
    files[0].path.unlink()  # as retention does
    assert next(reader.frames()).meta.frame_id > 0
    assert SessionReader(writer.path).complete


def test_messages_keep_their_order_over_segments_and_equal_times(tmp_path: Path, clock: Clock) -> None:
    with SessionWriter(tmp_path, INFO, clock=clock, segment_bytes=1, frame_reserve_bytes=0) as writer:
        for seq in range(1, 40):
            writer.write("journal", JournalEntry(seq=seq, epoch="e", now_ns=5 - seq // 2), 5 - seq // 2)
            if seq % 10 == 0:
                writer.flush()
    assert [s.path.name for s in segments(writer.path)] == [f"{n:03d}.mcap" for n in range(4)]
    reader = SessionReader(writer.path)
    assert [e.seq for e in reader.messages(topics.JOURNAL)] == list(range(1, 40))
    some = reader.messages(topics.JOURNAL, start_ns=-3, end_ns=1)
    assert [e.now_ns for e in some] == [0, 0, -1, -1, -2, -2, -3, -3]


def test_official_reader_reads_everything(writer: SessionWriter) -> None:
    for name, message in MESSAGES.items():
        writer.write(name, message, 7)
    writer.write_frame(frame(3, np.arange(24, dtype=np.uint8).reshape(4, 6)))
    writer.close()
    seen = {}
    for segment in segments(writer.path):
        with segment.path.open("rb") as stream:
            reader = make_reader(stream, validate_crcs=True)
            assert reader.get_summary() is not None
            for schema, channel, record in reader.iter_messages():
                assert schema is not None
                seen[channel.topic] = (schema, record)
    for name, sent in MESSAGES.items():
        schema, record = seen[name]
        assert schema.name == f"inspector.{type(sent).__name__}"
        assert schema.encoding == "jsonschema"
        assert json.loads(schema.data)["type"] == "object"
        assert record.log_time == 7 + UTC_NS - START_NS
        assert msgspec.json.decode(record.data, type=type(sent)) == sent
    assert msgspec.json.decode(seen["session"][1].data)["info"]["run_id"] == "run-1"
    assert json.loads(seen["frames/cam1/meta"][1].data)["frame_id"] == 3
    assert seen["frames/cam1"][0].name == "foxglove.RawImage"


def test_restarted_recorder_continues_the_session(tmp_path: Path, clock: Clock) -> None:
    entries = [JournalEntry(seq=n, epoch="e", now_ns=n) for n in (1, 2)]
    for entry in entries:
        with SessionWriter(tmp_path, INFO, clock=clock) as writer:
            writer.write("journal", entry, entry.now_ns)
        clock.monotonic_ns += NS_PER_S
    assert [p.name for p in tmp_path.iterdir()] == [writer.path.name]
    reader = SessionReader(writer.path)
    assert list(reader.messages(topics.JOURNAL)) == entries
    assert reader.meta.utc_offset_ns == UTC_NS - START_NS


@pytest.mark.parametrize("change", [{"run_id": "run-2"}, {"config_sha256": "0"}])
def test_another_run_or_configuration_is_another_session(
    tmp_path: Path, clock: Clock, change: dict[str, str]
) -> None:
    for info in (INFO, msgspec.structs.replace(INFO, **change)):
        SessionWriter(tmp_path, info, clock=clock).close()
    assert len(list(tmp_path.iterdir())) == 2


def test_one_recorder_at_a_time(writer: SessionWriter, tmp_path: Path, clock: Clock) -> None:
    assert is_running(writer.path)
    assert SessionReader(writer.path).warnings == ()  # unfinished, because it goes on
    with pytest.raises(StoreError, match="another recorder"):
        SessionWriter(tmp_path, INFO, clock=clock)
    writer.close()
    writer.close()
    assert not is_running(writer.path)


def test_wrong_topic_or_type_is_our_own_defect(writer: SessionWriter) -> None:
    with pytest.raises(InvariantError, match="nonsense"):
        writer.write("nonsense", RESULT, 1)
    with pytest.raises(InvariantError, match="FrameResult"):
        writer.write("verdicts", RESULT, 1)


def test_what_is_no_session_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="not a session"):
        SessionReader(tmp_path / "nothing")
    with pytest.raises(ConfigError, match="not a session"):
        SessionReader(tmp_path)
    for text in (
        "{",
        "[]",
        '{"format": "other", "version": 1}',
        '{"format": "inspector-session", "version": 1}',
    ):
        (tmp_path / META_NAME).write_text(text)
        with pytest.raises(ConfigError) as caught:
            SessionReader(tmp_path)
        assert "\n" not in str(caught.value)


def test_a_later_format_names_the_remedy(writer: SessionWriter) -> None:
    writer.close()
    meta = writer.path / META_NAME
    meta.write_text(meta.read_text().replace('"version": 1', '"version": 2'))
    with pytest.raises(ConfigError, match="session format 2, this version reads 1"):
        SessionReader(writer.path)


def test_message_of_another_version_names_the_recorder(writer: SessionWriter) -> None:
    writer.close()
    with (writer.path / "001.mcap").open("wb") as stream:
        other = mcap.writer.Writer(stream, use_chunking=False)
        other.start()
        schema = other.register_schema("inspector.FrameResult", "jsonschema", b"{}")
        channel = other.register_channel("results", "json", schema)
        other.add_message(channel, 1, b'{"seq": 1}', 1)
        other.finish()  # type: ignore[no-untyped-call]
    with pytest.raises(DataError, match=r"recorded by inspector 0\.1\.0"):
        list(SessionReader(writer.path).messages(topics.RESULTS))
