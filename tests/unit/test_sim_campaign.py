"""A campaign's pure parts: what is drawn, what is judged, how a failure shrinks, what is reported."""

import multiprocessing
import queue
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspector.errors import ConfigError
from line_sim.campaign import replays, worker
from line_sim.campaign.judge import Event, Finding, Record, judge_run
from line_sim.campaign.plan import KINDS, PARTS, faults_of, plan_run, with_faults
from line_sim.campaign.replays import Replayed
from line_sim.campaign.report import from_line, markdown, to_line, totals
from line_sim.campaign.scenario_file import scenario_text
from line_sim.campaign.shrink import minimal, shrink
from line_sim.campaign.worker import Settings
from line_sim.plc_outputs import Fields
from line_sim.scenario import Disturbance, Scenario, load_scenario, parse_scenario, scenario_names
from line_sim.score import LineCounts, PartOutcome, VerdictSeen, score_line

MS = 1_000_000
DEADLINE_MS = 250.0


# -- plan ----------------------------------------------------------------------------------------


def test_a_seed_gives_the_same_runs_and_another_one_others() -> None:
    assert [plan_run(7, n) for n in range(1, 20)] == [plan_run(7, n) for n in range(1, 20)]
    assert [plan_run(7, n) for n in range(1, 20)] != [plan_run(8, n) for n in range(1, 20)]


def test_every_kind_of_fault_is_drawn_and_no_two_runs_share_a_part() -> None:
    runs = [plan_run(1, n) for n in range(1, 201)]
    assert {fault.kind for run in runs for fault in faults_of(run)} == KINDS
    assert any(run.anomalies for run in runs)
    assert [run.first_part for run in runs] == [1 + PARTS * n for n in range(200)]
    for run in runs:
        last = run.first_part + PARTS
        assert all(run.first_part < fault.part < last for fault in faults_of(run))


def test_what_cannot_be_had_is_left_out_and_the_rest_stays() -> None:
    for number in range(1, 60):
        whole, less = plan_run(1, number), plan_run(1, number, KINDS - {"disk_full"})
        assert faults_of(less) == [fault for fault in faults_of(whole) if fault.kind != "disk_full"]


@given(st.integers(0, 2**31), st.integers(1, 2000))
def test_a_drawn_scenario_can_be_written_and_read_again(seed: int, number: int) -> None:
    scenario = plan_run(seed, number)
    assert parse_scenario(scenario_text(scenario), "written") == scenario


def test_the_scenarios_that_come_along_can_be_read() -> None:
    assert {"broker_loss", "detector_kill", "disk_full", "two_cameras"} <= set(scenario_names())
    assert all(load_scenario(name).parts for name in scenario_names() if name != "folder")


# -- judge ---------------------------------------------------------------------------------------


def outcome(number: int, *after_ms: float, usable: bool = True, stale: bool = False) -> PartOutcome:
    """A part that passed at `number` seconds; its verdicts came so long after."""
    begin_ns = number * 1000 * MS
    verdicts = tuple(
        VerdictSeen(
            verdict_id=f"v{number}-{i}",
            decision="PENDING",
            action="HOLD",
            received_ns=begin_ns + round(each * MS),
            p_defect=None,
            stale=stale,
            usable=usable,
        )
        for i, each in enumerate(after_ms)
    )
    deadline_ns = begin_ns + round(DEADLINE_MS * MS)
    return PartOutcome(
        part_id=f"P{number:06d}", defective=False, deadline_ns=deadline_ns, verdicts=verdicts, action="HOLD"
    )


def disturbance(kind: str, begin_s: float, end_s: float, **fields: float) -> list[Event]:
    about: Fields = {"kind": kind, "part_number": 1, "service": None, "delay_ms": None}
    return [
        ("disturbance", round(at_s * 1000 * MS), {**about, "began": began, **fields})
        for at_s, began in ((begin_s, True), (end_s, False))
    ]


def judged(
    *outcomes: PartOutcome, events: list[Event] | None = None, scenario: Scenario | None = None
) -> Record:
    record = Record(number=1, faults=[])
    judge_run(
        record,
        scenario or Scenario(parts=len(outcomes)),
        outcomes=outcomes,
        score=score_line(outcomes, LineCounts()),
        events=events or [],
        deadline_ms=DEADLINE_MS,
    )
    return record


def kinds(record: Record) -> list[str]:
    return [finding.kind for finding in record.findings]


def test_a_part_in_time_is_no_finding() -> None:
    assert not judged(outcome(1, 30)).failed


def test_lost_twice_late_and_stale_are_told_apart() -> None:
    assert kinds(judged(outcome(1))) == ["lost"]
    assert kinds(judged(outcome(1, 30, 40))) == ["duplicate"]
    assert kinds(judged(outcome(1, 260))) == ["late"]
    assert kinds(judged(outcome(1, 30, usable=False))) == ["late"]
    assert kinds(judged(outcome(1, 600, stale=True))) == ["late", "stale"]


@pytest.mark.parametrize("kind", ["broker_down", "broker_frozen", "plc_clock"])
def test_a_late_part_is_excused_while_the_way_was_not_open(kind: str) -> None:
    events = disturbance(kind, 1.1, 1.9)
    record = judged(outcome(1, 900), events=events)
    assert (record.failed, record.excused) == (False, Counter({kind: 1}))
    assert kinds(judged(outcome(20, 900), events=events)) == ["late"]


def test_while_the_arbiter_is_away_nobody_decides_but_no_part_is_lost() -> None:
    killed = disturbance("kill", 1, 1.1)
    events: list[Event] = [(name, at_ns, {**fields, "service": "arbiter"}) for name, at_ns, fields in killed]
    record = judged(outcome(1, 1500), events=events)
    assert (record.failed, record.excused) == (False, Counter({"kill arbiter": 1}))
    assert kinds(judged(outcome(1), events=events)) == ["lost"]


def test_nothing_excuses_a_part_without_a_verdict() -> None:
    assert kinds(judged(outcome(1), events=disturbance("broker_down", 0.5, 2.0))) == ["lost"]


def test_a_broker_that_is_hardly_slow_excuses_nothing() -> None:
    assert kinds(judged(outcome(1, 300), events=disturbance("broker_slow", 0.5, 2.0, delay_ms=5))) == ["late"]
    assert not judged(outcome(1, 300), events=disturbance("broker_slow", 0.5, 2.0, delay_ms=80)).failed


def test_a_trigger_that_came_too_late_is_answered_too_late() -> None:
    text = "parts: 1\nfaults: [{kind: late_trigger, part: 1, delay_ms: 240}]"
    record = judged(outcome(1, 245 + 30), scenario=parse_scenario(text, "test"))
    assert (record.failed, record.excused) == (False, Counter(late_trigger=1))


def test_a_run_that_ended_early_is_a_finding() -> None:
    assert kinds(judged(outcome(1, 30), scenario=Scenario(parts=2))) == ["cell"]


# -- shrink --------------------------------------------------------------------------------------


@given(st.sets(st.integers(0, 30), min_size=1), st.data())
def test_only_what_is_needed_to_fail_is_kept(items: set[int], data: st.DataObject) -> None:
    needed = data.draw(st.sets(st.sampled_from(sorted(items))))
    kept = minimal(sorted(items), lambda some: needed <= set(some))
    assert set(kept) == needed or (not needed and not kept)


def test_a_scenario_shrinks_to_the_one_fault_few_parts_and_a_short_time() -> None:
    long = Disturbance(kind="kill", part=6, for_s=3.0, service="detector")
    others = [Disturbance(kind="broker_down", part=9), Disturbance(kind="disk_full", part=12)]
    scenario = with_faults(Scenario(parts=20), [others[0], long, others[1]])

    def fails(candidate: Scenario) -> bool:
        return any(fault.kind == "kill" for fault in faults_of(candidate))

    shortest = shrink(scenario, fails)
    assert [(fault.kind, fault.part) for fault in faults_of(shortest)] == [("kill", 6)]
    assert shortest.parts == 9
    assert shortest.disturbances[0].for_s <= 0.4


def test_shrinking_ends_when_its_runs_are_used_up() -> None:
    scenario = with_faults(Scenario(parts=20), [Disturbance(kind="disk_full", part=p) for p in range(1, 15)])
    tried: list[Scenario] = []

    def fails(candidate: Scenario) -> bool:
        tried.append(candidate)
        return False

    assert shrink(scenario, fails, most=5) == scenario
    assert len(tried) == 5


# -- report --------------------------------------------------------------------------------------


def test_a_run_is_kept_as_a_line_and_read_back() -> None:
    record = Record(number=3, faults=["kill at P000004"], parts=20, findings=[Finding("late", "P1")])
    record.excused["broker_down"] += 2
    assert from_line(to_line(record)) == record


def test_the_report_adds_up_and_names_failures() -> None:
    good = Record(number=1, faults=["kill at P000004 service=detector"], parts=20, one_verdict=20)
    good.failsafe["detector down"] += 3
    bad = Record(number=2, faults=[], parts=20, one_verdict=19, findings=[Finding("lost", "P000031")])
    total = totals([good, bad], 1)
    assert (total["runs"], total["parts"], total["one_verdict"], total["lost"]) == (2, 40, 39, 1)
    assert "replay" not in total  # without one a 0 would claim that there was
    text = markdown([good, bad], 1)
    assert "| kill | 1 | 20 | 0 | 0 | 0 | 0 | 0 | 0 | 3 |" in text
    assert "| detector down | 3 |" in text
    assert "lost: P000031" in text


def test_a_verdict_that_a_replay_gives_otherwise_is_in_the_report_with_its_session() -> None:
    same = Replayed(session="a", equal=20, different=0, not_compared=3)
    other = Replayed(session="b", equal=19, different=1, not_compared=0, kept="out/b")
    assert replays.from_line(replays.to_line(other)) == other
    compared = {"equal": 39, "different": 1, "not_compared": 3, "not_replayed": 0}
    assert totals([], 1, [same, other])["replay"] == compared
    text = markdown([], 1, [same, other])
    assert "2 recorded sessions: 39 verdicts are the same bit for bit, 1 are not, 3 came after" in text
    assert "See out/b." in text


def test_a_session_without_a_journal_is_a_line_of_the_report_and_not_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = tmp_path / "site" / "2026-01"
    session.mkdir(parents=True)
    (session / "session.json").write_text("{}")
    (session / "session.mcap").write_bytes(b"")

    class Ended:
        """A rig whose cell has ended."""

        sessions = tmp_path / "site"

        def stop(self) -> None: ...

        def __exit__(self, *_: object) -> None: ...

    told: queue.Queue[Record | Replayed | str] = queue.Queue()
    settings = Settings(site=tmp_path, seed=1, out=tmp_path, kinds=frozenset())
    job = worker._Job(0, settings, told, multiprocessing.Event())
    monkeypatch.setattr(job, "_rig", Ended())
    job.end_cell()
    done = told.get_nowait()
    assert isinstance(done, Replayed)
    assert done.failed
    text = markdown([], 1, [done, Replayed(session="b", equal=20, different=0, not_compared=0)])
    assert "Replayed from 1 recorded session: 20 verdicts are the same" in text
    assert f"Could not be replayed: {session} cannot be replayed" in text


def test_only_sessions_are_replayed_and_what_is_none_says_so(tmp_path: Path) -> None:
    for name in ("2026-02", "2026-01"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "session.json").write_text("{}")
    (tmp_path / "outbox").mkdir()
    found = replays.sessions_in(tmp_path)
    assert [each.name for each in found] == ["2026-01", "2026-02"]
    with pytest.raises(ConfigError, match=r"2026-01 cannot be replayed: error: .*damaged"):
        replays.replay(found[0])
