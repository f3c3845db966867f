"""A replay finds every difference, and does not invent one where the recording has a hole."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
import typer
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from inspector.config import ArbiterSetup, DecisionConfig
from inspector.errors import DataError
from inspector.services import replay_commands
from inspector.store import commands
from inspector.store.commands import replay_command, sessions_command
from inspector.store.layout import RESULTS_NAME, SessionInfo, segments
from inspector.store.reader import SessionReader
from inspector.store.replay import DeciderFactory, Gap, ReplayReport, replay_session
from inspector.store.results import ResultWriter
from inspector.store.session import SessionWriter
from inspector.strict_data import to_plain
from inspector.types import (
    Action,
    Decision,
    JournalEntry,
    Message,
    PartEvidence,
    PartTrigger,
    ReasonCode,
    Verdict,
    VerdictRecord,
)

SETUP = {"action": "PASS"}


class Toy:
    """Decides a part one entry after its trigger; a clock tick of its own decides nothing."""

    def __init__(self, setup: dict[str, Any], epoch: str) -> None:
        self._action = Action(setup["action"])
        self._epoch = epoch
        self._seq = 0
        self._open: list[PartTrigger] = []

    def step(self, entry: JournalEntry) -> tuple[Verdict, ...]:
        due, self._open = self._open, []
        if entry.trigger is not None:
            self._open.append(entry.trigger)
        return tuple(self._verdict(trigger, entry.now_ns) for trigger in due)

    def _verdict(self, trigger: PartTrigger, now_ns: int) -> Verdict:
        self._seq += 1
        return Verdict(
            verdict_id=f"{self._epoch}-{self._seq}",
            part_id=trigger.part_id,
            seq=self._seq,
            decision=Decision.CONFIRMED_ACTION,
            action=self._action,
            reason_code=ReasonCode.GOOD,
            confidence=0.1 * self._seq,
            p_defect=None,
            weights={"vision": 1.0},
            skew_ms=0.0,
            modalities=(),
            missing=(),
            cause="",
            trigger_ns=trigger.trigger_ns,
            decided_ns=now_ns,
            deadline_ns=now_ns,
            valid_until_ns=now_ns,
            failsafe=False,
            config_sha256="",
            model_sha256="",
        )


Record = tuple[str, Message]


def run(*epochs: tuple[str, int]) -> list[Record]:
    """Journal and verdicts of arbiter runs (epoch, parts), as a recorder gets them."""
    records: list[Record] = []
    now_ns = 1000
    for epoch, parts in epochs:
        decider = Toy(SETUP, epoch)
        for seq in range(1, 2 * parts + 1):
            now_ns += 10
            trigger = PartTrigger(part_id=f"P{epoch}{seq}", seq=seq, trigger_ns=now_ns, received_ns=now_ns)
            entry = JournalEntry(seq=seq, epoch=epoch, now_ns=now_ns, trigger=trigger if seq % 2 else None)
            for verdict in decider.step(entry):
                evidence = PartEvidence(
                    part_id=verdict.part_id, trigger_ns=now_ns, window_start_ns=0, window_end_ns=1
                )
                records.append(("verdicts", VerdictRecord(verdict=verdict, evidence=evidence)))
            records.append(("journal", entry))
    return records


def store(directory: Path, records: list[Record], setup: dict[str, Any] | None = None) -> Path:
    info = SessionInfo(
        run_id="r", config_sha256="", model_sha256="", versions={}, arbiter_setup=setup or SETUP
    )
    with SessionWriter(directory, info) as writer:
        for name, message in records:
            writer.write(name, message, 0)
    return writer.path


def replayed(directory: Path, records: list[Record], make: DeciderFactory = Toy) -> ReplayReport:
    return replay_session(SessionReader(store(directory, records)), make)


def is_entry(record: Record, epoch: str, *seqs: int) -> bool:
    message = record[1]
    return isinstance(message, JournalEntry) and message.epoch == epoch and message.seq in seqs


def is_verdict(record: Record, *ids: str) -> bool:
    return isinstance(record[1], VerdictRecord) and record[1].verdict.verdict_id in ids


def test_same_decider_gives_the_same_verdicts_over_epochs(tmp_path: Path) -> None:
    report = replayed(tmp_path, run(("a", 20), ("b", 5)))
    assert report.exact
    assert (report.entries, report.epochs, report.recorded, report.equal) == (50, 2, 25, 25)
    assert report.gaps == []
    assert (report.different, report.not_compared, report.unrecorded) == (0, 0, 0)


def test_one_changed_bit_is_a_difference(tmp_path: Path) -> None:
    class Other(Toy):
        def step(self, entry: JournalEntry) -> tuple[Verdict, ...]:
            return tuple(
                msgspec.structs.replace(v, confidence=v.confidence + 2**-50) if v.seq == 3 else v
                for v in super().step(entry)
            )

    report = replayed(tmp_path, run(("a", 5)), Other)
    assert not report.exact
    (difference,) = report.differences
    assert difference.verdict_id == "a-3"
    assert difference.fields == {"confidence": (0.1 * 3, 0.1 * 3 + 2**-50)}


def test_verdicts_that_are_missing_or_new_are_differences(tmp_path: Path) -> None:
    class Silent(Toy):
        def step(self, entry: JournalEntry) -> tuple[Verdict, ...]:
            said = super().step(entry)
            return () if entry.seq == 4 else said

    class Talkative(Toy):
        def step(self, entry: JournalEntry) -> tuple[Verdict, ...]:
            said = super().step(entry)
            twice = [msgspec.structs.replace(v, verdict_id=v.verdict_id + "x") for v in said if v.seq == 1]
            return (*said, *twice)

    report = replayed(tmp_path, run(("a", 5)), Silent)
    (difference,) = report.differences
    assert (difference.verdict_id, difference.replayed) == ("a-2", None)
    report = replay_session(SessionReader(next(tmp_path.iterdir())), Talkative)
    (difference,) = report.differences
    assert (difference.verdict_id, difference.recorded) == ("a-1x", None)


def test_only_the_first_differences_are_kept_and_all_are_counted(tmp_path: Path) -> None:
    report = replayed(tmp_path, run(("a", 30)), lambda _, epoch: Toy({"action": "REJECT"}, epoch))
    assert report.different == 30
    assert len(report.differences) == 10


def test_after_a_gap_nothing_is_compared_until_the_next_epoch(tmp_path: Path) -> None:
    records = [r for r in run(("a", 20), ("b", 5)) if not is_entry(r, "a", *range(9, 13))]
    records = [r for r in records if not is_verdict(r, "a-5")]
    report = replayed(tmp_path, records)
    assert report.exact
    assert report.gaps == [Gap("a", 9, 12)]
    assert report.equal == 4 + 5
    assert report.not_compared == 15
    assert report.unrecorded == 0


def test_recorder_that_came_late_compares_from_the_next_epoch(tmp_path: Path) -> None:
    records = [r for r in run(("a", 5), ("b", 5)) if not is_entry(r, "a", 1, 2)]
    report = replayed(tmp_path, records)
    assert report.exact
    assert (report.gaps, report.equal, report.not_compared) == ([Gap("a", 1, 2)], 5, 5)


def test_a_difference_after_a_gap_of_another_epoch_is_found(tmp_path: Path) -> None:
    records = [r for r in run(("a", 5), ("b", 5)) if not is_entry(r, "a", 4)]
    report = replayed(tmp_path, records, lambda _, e: Toy({"action": "PASS" if e == "a" else "HOLD"}, e))
    assert (report.equal, report.different) == (1, 5)


def test_verdicts_lost_on_the_way_are_no_difference(tmp_path: Path) -> None:
    lost = ("a-2", "a-3", "a-20", "b-1")
    records = [r for r in run(("a", 20), ("b", 5)) if not is_verdict(r, *lost)]
    report = replayed(tmp_path, records)
    assert report.exact
    assert (report.equal, report.unrecorded) == (21, 4)


def test_end_of_the_journal_that_was_lost_is_no_difference(tmp_path: Path) -> None:
    records = run(("a", 20))
    report = replayed(tmp_path, [r for r in records if not is_entry(r, "a", 39, 40)])
    assert report.exact
    assert (report.equal, report.not_compared) == (19, 1)


def test_what_was_handed_over_twice_counts_once(tmp_path: Path) -> None:
    records = run(("a", 5))
    report = replayed(tmp_path, [*records, *records[-6:]])
    assert report.exact
    assert report.equal == 5
    assert report.gaps == []


@settings(deadline=None)
@given(st.sets(st.integers(0, 89)))
def test_loss_never_makes_a_difference(tmp_path_factory: pytest.TempPathFactory, lost: set[int]) -> None:
    records = [r for n, r in enumerate(run(("a", 10), ("b", 10), ("c", 10))) if n not in lost]
    if not any(isinstance(message, JournalEntry) for _, message in records):
        return
    report = replayed(tmp_path_factory.mktemp("s"), records)
    assert report.different == 0
    verdicts = sum(isinstance(message, VerdictRecord) for _, message in records)
    assert report.equal + report.not_compared == verdicts


def test_session_without_a_journal_is_a_data_error(tmp_path: Path) -> None:
    verdicts = [r for r in run(("a", 2)) if r[0] == "verdicts"]
    with pytest.raises(DataError, match="no journal"):
        replayed(tmp_path, verdicts)


# -- commands ------------------------------------------------------------------------------------


def test_replay_command_statuses(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    session = store(tmp_path, run(("a", 5)))
    assert replay_command(session, Toy) == 0
    assert "EQUAL: 5 verdicts, bit for bit" in capsys.readouterr().out
    assert replay_command(session, lambda _, e: Toy({"action": "HOLD"}, e)) == 1
    assert "action PASS -> HOLD" in capsys.readouterr().out
    assert replay_command(tmp_path, Toy) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: ")
    assert "not a session" in captured.err
    assert captured.err.count("\n") == 1


def test_replay_that_could_compare_nothing_is_no_success(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    session = store(tmp_path, [r for r in run(("a", 5)) if not is_entry(r, "a", 1)])
    assert replay_command(session, Toy) == 1
    assert "NOTHING COMPARED" in capsys.readouterr().out


def test_replay_command_json_and_the_warning_of_a_cut_session(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    session = store(tmp_path, run(("a", 5)))
    file = segments(session)[0].path
    file.write_bytes(file.read_bytes()[:-20])
    assert replay_command(session, Toy, as_json=True) == 0
    captured = capsys.readouterr()
    told = json.loads(captured.out)
    assert (told["exact"], told["equal"], told["compared"], told["gaps"]) == (True, 5, 5, [])
    assert "cut off" in told["warnings"][0]
    assert captured.err.count("warning:") == 1


def app() -> typer.Typer:
    it = typer.Typer()
    it.command()(replay_commands.replay)
    it.command()(commands.sessions)
    return it


def test_replay_of_the_real_arbiter_from_the_command_line(tmp_path: Path) -> None:
    setup = to_plain(
        ArbiterSetup(
            decision=DecisionConfig(),
            cameras=("cam1",),
            expected_sensors=(),
            config_sha256="c",
            model_sha256="m",
        )
    )
    decider = commands.arbiter(setup, "a")
    records: list[Record] = []
    for seq in range(1, 41):
        now_ns = seq * 300_000_000
        trigger = PartTrigger(part_id=f"P{seq}", seq=seq, trigger_ns=now_ns, received_ns=now_ns)
        entry = JournalEntry(seq=seq, epoch="a", now_ns=now_ns, trigger=trigger if seq % 2 else None)
        records.append(("journal", entry))
        for verdict in decider.step(entry):
            evidence = PartEvidence(part_id=verdict.part_id, trigger_ns=0, window_start_ns=0, window_end_ns=1)
            records.append(("verdicts", VerdictRecord(verdict=verdict, evidence=evidence)))
    session = store(tmp_path, records, setup)
    result = CliRunner().invoke(app(), ["replay", str(session), "--json"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["equal"] == 20
    other = store(tmp_path / "other", records, {"decision": {"deadline_ms": "soon"}})
    result = CliRunner().invoke(app(), ["replay", str(other)])
    assert result.exit_code == 2
    assert "arbiter setup does not fit" in result.stderr


def test_sessions_command_lists_states_and_counts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    session = store(tmp_path, run(("a", 5)))
    damaged = tmp_path / "2020-01-01T00-00-00Z"
    damaged.mkdir()
    (damaged / "session.json").write_text("{")
    assert sessions_command(tmp_path, as_json=True) == 0
    broken, line = json.loads(capsys.readouterr().out)
    assert broken["state"].startswith("unreadable")
    assert (line["name"], line["parts"], line["state"]) == (session.name, 5, "complete")
    assert line["verdicts"] == {"CONFIRMED_ACTION PASS": 5}
    assert line["size_bytes"] > 1000
    with ResultWriter(tmp_path / RESULTS_NAME, session.name, 0) as database:
        for _, message in run(("a", 3)):
            if isinstance(message, VerdictRecord):
                database.add(message)
    file = segments(session)[0].path
    file.write_bytes(file.read_bytes()[:-1])
    assert sessions_command(tmp_path, as_json=True) == 0
    line = json.loads(capsys.readouterr().out)[1]
    assert (line["parts"], line["state"]) == (3, "cut off")
    assert sessions_command(tmp_path) == 0
    assert "cut off" in capsys.readouterr().out
    assert sessions_command(tmp_path / "none") == 2
    assert "no such folder" in capsys.readouterr().err
