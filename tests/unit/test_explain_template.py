"""The template is good enough to be read alone, for every verdict, and always fits its message."""

import json

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inspector.explain.causes import rank_causes
from inspector.explain.facts import CameraView, LineContext
from inspector.explain.gather import gather
from inspector.explain.probe import PROBE
from inspector.explain.template import Worded, shorten, word
from inspector.types import (
    Action,
    Decision,
    Detection,
    Heatmap,
    Quality,
    ReasonCode,
    ResultStatus,
    SensorEvent,
    VerdictRecord,
)

CONTEXT = LineContext(cameras={"cam1": CameraView(width_px=640, height_px=480)})


def explain(record: VerdictRecord) -> Worded:
    facts = gather(record, CONTEXT)
    return word(facts, rank_causes(facts)[0])


def test_a_rejected_part_reads_well() -> None:
    worded = explain(PROBE)
    assert worded.text == (
        "Part PROBE1 was rejected with defect probability 0.93, above the 0.75 needed. Camera cam1 saw a "
        "scratch, score 0.91, upper left of the image, 90 x 30 px. Sensor vibration1 (vibration): "
        "7.8 mm/s, abnormal, above its alarm limit 7.1 mm/s."
    )
    assert worded.cause == (
        "vibration1 at 7.8 mm/s, above its alarm limit 7.1 mm/s; at the same time as scratch"
    )
    assert worded.recommended_action == (
        "Check the station where vibration1 measures, and look for scratch on the parts before and after."
    )
    assert worded.cited == (1, 2, 3)


def test_missing_evidence_names_what_to_check() -> None:
    record = VerdictRecord(
        verdict=msgspec.structs.replace(
            PROBE.verdict,
            action=Action.HOLD,
            decision=Decision.PENDING,
            reason_code=ReasonCode.EVIDENCE_MISSING,
            missing=("vision.cam1",),
            p_defect=None,
            cause="camera.cam1 down",
            failsafe=True,
        ),
        evidence=msgspec.structs.replace(PROBE.evidence, results=(), events=()),
    )
    worded = explain(record)
    assert worded.text == (
        "Part PROBE1 was held for review as the failsafe action: nothing is known of a defect. "
        "There is no data from vision.cam1, camera.cam1 down."
    )
    assert worded.recommended_action == "Check the part by hand; check vision.cam1 and the connection."


@pytest.mark.parametrize("reason", list(ReasonCode))
@pytest.mark.parametrize("action", list(Action))
def test_every_verdict_without_any_evidence_is_explained(reason: ReasonCode, action: Action) -> None:
    record = VerdictRecord(
        verdict=msgspec.structs.replace(
            PROBE.verdict, reason_code=reason, action=action, part_id="", p_defect=None, cause=""
        ),
        evidence=msgspec.structs.replace(PROBE.evidence, results=(), events=()),
    )
    worded = explain(record)
    assert worded.text.endswith(".")
    assert worded.cause
    assert worded.recommended_action
    assert worded.cited


names = st.text(max_size=80)
finite = st.floats(allow_nan=True, allow_infinity=True)
probabilities = st.floats(0, 1)
detections = st.builds(
    Detection,
    label=names,
    score=probabilities,
    box_px=st.tuples(*[st.integers(0, 5000)] * 4),
    area_mm2=st.none() | finite,
)
results = st.builds(
    lambda camera, status, p, found, heat: msgspec.structs.replace(
        PROBE.evidence.results[0],
        camera_id=camera,
        status=status,
        p_defect=p,
        detections=tuple(found),
        heatmap=heat,
    ),
    names | st.just("cam1"),
    st.sampled_from(ResultStatus),
    st.none() | probabilities,
    st.lists(detections, max_size=4),
    st.none()
    | st.builds(Heatmap, width=st.integers(0, 4), height=st.integers(0, 4), data=st.binary(max_size=16)),
)
events = st.builds(
    SensorEvent,
    sensor_id=names,
    kind=names,
    value=finite,
    unit=names,
    quality=st.sampled_from(Quality),
    urgency=probabilities,
    p_defect=st.none() | probabilities,
    abnormal=st.none() | names,
    seq=st.just(1),
    observed_ns=st.integers(0, 10**12),
    received_ns=st.just(0),
)


records = st.builds(
    lambda reason, action, words, p_defect, seen, measured, missing: VerdictRecord(
        verdict=msgspec.structs.replace(
            PROBE.verdict,
            reason_code=reason,
            action=action,
            part_id=words[0],
            cause=words[1],
            p_defect=p_defect,
        ),
        evidence=msgspec.structs.replace(
            PROBE.evidence, results=tuple(seen), events=tuple(measured), missing=tuple(missing)
        ),
    ),
    st.sampled_from(ReasonCode),
    st.sampled_from(Action),
    st.tuples(names, names),
    st.none() | probabilities,
    st.lists(results, max_size=4),
    st.lists(events, max_size=6),
    st.lists(names, max_size=8),
)


@settings(max_examples=150, deadline=None)
@given(records)
def test_whatever_the_evidence_the_text_is_ascii_and_short(record: VerdictRecord) -> None:
    worded = explain(record)
    payload = json.dumps([worded.text, worded.cause, worded.recommended_action])
    assert payload.isascii()
    assert "\\" not in payload
    assert len(payload) < 2000


def test_shorten_cuts_at_a_word() -> None:
    assert shorten("one two three", 100) == "one two three"
    assert shorten("one two three four", 12) == "one two..."
