"""Frames find their part by time as well as it is known, and by count where time is not enough."""

import random

import hypothesis.strategies as st
import msgspec
import pytest
from decide_line import MS, POLICY, Line, reading, result, setup_for, trigger
from hypothesis import given, settings
from msgspec.structs import replace

from inspector.camera.camera_time import CameraTime
from inspector.camera.frame_time import FrameTime
from inspector.camera.ptp_check import PtpCheck
from inspector.camera.time_latch import Reading
from inspector.config import ArbiterSetup
from inspector.types import Action, JournalEntry, ReasonCode, Verdict, VerdictRecord

TWO = ("cam1", "cam2")


def by_count(cameras: tuple[str, ...] = ("cam1",)) -> ArbiterSetup:
    return replace(setup_for(cameras), decision=replace(POLICY, frames_by="count"))


def test_the_skew_of_a_verdict_holds_the_clocks_uncertainty() -> None:
    line = Line(setup_for())
    line.at(0, trigger=trigger(1, 0))
    (verdict,) = line.at(20, result=result(1, 3, 0.01, off_us=400.0))
    assert verdict.skew_ms == pytest.approx(3.4)
    assert verdict.clock_uncertainty_ms == pytest.approx(0.4)


def test_matching_is_as_wide_as_the_clock_is_uncertain() -> None:
    near, far = Line(setup_for()), Line(setup_for())
    for line, off_us in ((near, 8_000.0), (far, 1_000.0)):
        line.at(0, trigger=trigger(1, 0))
        line.at(60, result=result(1, 55, 0.01, off_us=off_us))
        line.at(500)
    assert near.verdicts[0].action is Action.PASS
    assert far.verdicts[0].missing == ("vision.cam1",)


def test_a_frame_whose_clock_is_not_known_serves_the_only_part_there_is() -> None:
    line = Line(setup_for())
    line.at(0, trigger=trigger(1, 0))
    (verdict,) = line.at(20, result=result(1, 30, 0.01, off_us=None))
    assert verdict.action is Action.PASS
    assert verdict.clock_uncertainty_ms is None, "and the verdict says that the time is not known"


@pytest.mark.parametrize("off_us", [None, 15_000.0])
def test_a_frame_that_may_be_of_either_part_is_nobodys_and_the_verdict_says_why(off_us: float | None) -> None:
    line = Line(setup_for())
    line.at(0, trigger=trigger(1, 0))
    line.at(40, trigger=trigger(2, 40))
    line.at(50, result=result(1, 18, 0.01, off_us=off_us))
    line.at(500)
    assert [verdict.missing for verdict in line.verdicts] == [("vision.cam1",), ("vision.cam1",)]
    assert {verdict.cause for verdict in line.verdicts} == {"clock of cam1 unknown"}
    assert line.arbiter.counters["ambiguous_results"] == 1


def test_a_late_frame_is_not_taken_for_the_next_parts() -> None:
    line = Line(setup_for())
    line.at(0, trigger=trigger(1, 0))
    line.at(170, trigger=trigger(2, 45))
    line.at(185)
    assert [verdict.part_id for verdict in line.verdicts] == ["P1"]
    line.at(190, result=result(1, 2, 0.01))  # the frame of the first part, at last
    line.at(500)
    assert line.verdicts[1].missing == ("vision.cam1",)
    assert line.arbiter.counters["late_results"] == 1


def test_a_frame_that_overtook_its_trigger_goes_to_it_when_it_comes() -> None:
    line = Line(setup_for(TWO))
    line.at(0, trigger=trigger(1, 0))
    line.at(70, result=result(2, 45, 0.99))
    line.at(80, trigger=trigger(2, 48))
    line.at(90, result=result(2, 47, 0.99, "cam2"))
    assert [(verdict.part_id, verdict.action) for verdict in line.verdicts] == [("P2", Action.REJECT)]
    line.at(500)
    assert line.verdicts[1].missing == ("vision.cam1", "vision.cam2")


def test_the_count_tells_parts_apart_that_time_cannot() -> None:
    line = Line(by_count())
    for part in (1, 2):  # alone on the line: here the count is learned
        line.at(part * 1000, trigger=trigger(part, part * 1000))
        line.at(part * 1000 + 20, result=result(part + 70, part * 1000, 0.01, off_us=None))
    for part in (3, 4, 5):
        line.at(5000 + part, trigger=trigger(part, 5000 + 15 * part))
    for part, p in ((4, 0.99), (3, 0.01), (5, 0.01)):
        line.at(5100, result=result(part + 70, 5060, p, off_us=None))
    actions = {verdict.part_id: verdict.action for verdict in line.verdicts[2:]}
    assert actions == {"P3": Action.PASS, "P4": Action.REJECT, "P5": Action.PASS}


def test_a_count_that_slipped_is_learned_anew() -> None:
    line = Line(by_count())
    for part, frame in ((1, 1), (2, 2), (3, 4), (4, 5)):  # the camera fired once too often
        line.at(part * 1000, trigger=trigger(part, part * 1000))
        line.at(part * 1000 + 20, result=result(frame, part * 1000, 0.01))
    assert line.arbiter.counters["count_slips"] == 1
    line.at(9000, trigger=trigger(5, 9000))
    line.at(9000, trigger=trigger(6, 9010))
    line.at(9030, result=result(7, 9005, 0.99, off_us=None))
    assert [(v.part_id, v.action) for v in line.verdicts[4:]] == [("P6", Action.REJECT)]


def test_each_of_two_cameras_is_matched_by_its_own_clock_and_the_missing_one_is_named() -> None:
    line = Line(setup_for(TWO))
    line.at(0, trigger=trigger(1, 0))
    line.at(20, result=result(1, 1, 0.01, off_us=100.0))
    line.at(25, result=result(900, 4, 0.02, "cam2", off_us=2_000.0))
    line.at(1000, trigger=trigger(2, 1000))
    line.at(1020, result=result(2, 1001, 0.01))
    line.at(2000)
    both, one = line.verdicts
    assert both.action is Action.PASS
    assert both.skew_ms == pytest.approx(6.0)
    assert (one.action, one.missing) == (Action.HOLD, ("vision.cam2",))
    assert one.reason_code is ReasonCode.EVIDENCE_MISSING


@settings(max_examples=60, deadline=None)
@given(
    order=st.permutations(range(8)),
    p=st.lists(st.floats(0.0, 1.0), min_size=6, max_size=6),
    off_us=st.sampled_from([None, 0.0, 900.0]),
    count=st.booleans(),
)
def test_the_order_in_which_equal_evidence_arrived_changes_nothing(
    order: list[int], p: list[float], off_us: float | None, count: bool
) -> None:
    evidence: list[dict[str, object]] = [
        {"event": reading(1, -5, p=p[0])},
        {"event": reading(2, 5, p=p[1])},
        {"result": result(1, 1, p[2], off_us=off_us)},
        {"result": result(1, 2, p[3], "cam2", off_us=off_us)},
        {"result": result(2, 3, p[3], "cam2", off_us=off_us)},  # one frame more than there should be
        {"event": reading(3, 205, p=p[1])},
        {"result": result(2, 201, p[4], off_us=off_us)},
        {"result": result(3, 202, p[5], "cam2", off_us=off_us)},
    ]
    setup = with_sensor(by_count(TWO) if count else setup_for(TWO))
    seen: list[list[Verdict]] = []
    for arrivals in (list(range(8)), order):
        line = Line(setup)
        # All of it is there at one instant, then the triggers come, and decide.
        contents = [evidence[index] for index in arrivals]
        contents += [{"trigger": trigger(part, 200 * (part - 1))} for part in (1, 2)]
        for content in contents:
            entry = msgspec.structs.replace(JournalEntry(seq=0, epoch="e", now_ns=10 * MS), **content)
            line.verdicts += [
                each.verdict for each in line.arbiter.step(entry) if isinstance(each, VerdictRecord)
            ]
        line.at(1000)
        seen.append(line.verdicts)
    assert len(seen[0]) == 2
    assert seen[0] == seen[1]


def with_sensor(setup: ArbiterSetup) -> ArbiterSetup:
    return replace(setup, expected_sensors=("vib",))


class DriftingCamera:
    """A camera whose clock drifts and is stepped, read as the camera service reads it. All in ns."""

    def __init__(self, seed: int, ppm: float) -> None:
        self.host_ns, self.ahead_ns = 500_000 * MS, -400_000 * MS
        self._ppm, self._random = ppm, random.Random(seed)
        self._fit = CameraTime()
        self._times = FrameTime(self._fit, PtpCheck(lambda: None, self), self.read, self)
        self._next_read_ns = 0

    def now_ns(self) -> int:
        return self.host_ns

    def utc_ns(self) -> int:
        return self.host_ns

    def device_ns(self, host_ns: int) -> int:
        return round(host_ns * (1 + self._ppm * 1e-6)) + self.ahead_ns

    def read(self) -> None:
        width_ns = self._random.randrange(100_000, 600_000)
        device_ns = self.device_ns(self.host_ns + self._random.randrange(width_ns))
        self.host_ns += width_ns
        answer = Reading(device_ns, self.host_ns, width_ns)
        self._fit.observe(answer.device_ns, answer.host_ns, width_ns=answer.width_ns)

    def frame(self) -> tuple[int, int, int | None]:
        """Expose one; returns its true time, the mapped one, and what is stated of that."""
        if self.host_ns >= self._next_read_ns:
            self._next_read_ns = self.host_ns + 1000 * MS
            self.read()
        true_ns = self.host_ns
        stamp_ns = self.device_ns(true_ns)
        self.host_ns += self._random.randrange(2 * MS, 6 * MS)
        mapped_ns, off_ns = self._times.start_of(stamp_ns, self.host_ns)
        return true_ns, mapped_ns, off_ns


@pytest.mark.parametrize(("seed", "ppm"), [(1, 100.0), (2, -100.0)])
def test_with_drift_and_jumps_the_time_is_right_within_a_millisecond_or_said_not_to_be(
    seed: int, ppm: float
) -> None:
    camera, line = DriftingCamera(seed, ppm), Line(setup_for())
    truth: dict[str, int] = {}
    for part in range(1, 600):
        camera.host_ns += 120 * MS
        if part in {150, 300, 450}:
            camera.ahead_ns += {150: 2000, 300: -2000, 450: 37}[part] * MS
        true_ns, mapped_ns, off_ns = camera.frame()
        truth[f"P{part}"] = true_ns
        frame = result(part, mapped_ns / MS, 0.01, off_us=None if off_ns is None else off_ns / 1000)
        now_ms = camera.host_ns / MS
        line.at(now_ms, trigger=trigger(part, true_ns / MS, now_ms))
        line.at(now_ms + 20, result=msgspec.structs.replace(frame, exposure_start_ns=mapped_ns))
    line.at(camera.host_ns / MS + 1000)
    assert len(line.records) == 599
    right = 0
    for record in line.records:
        verdict = record.verdict
        if not record.evidence.results:
            assert verdict.missing == ("vision.cam1",)
            continue
        (used,) = record.evidence.results
        assert f"P{used.frame_id}" == verdict.part_id, "a frame of another part"
        stated_ms = verdict.clock_uncertainty_ms
        error_ms = abs(used.exposure_start_ns - truth[verdict.part_id]) / MS
        assert stated_ms is None or stated_ms > 1.0 or error_ms <= 1.0
        right += stated_ms is not None and stated_ms <= 1.0
    assert right >= 590, "and nearly always it is right"
