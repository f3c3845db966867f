"""The results database: queries, repeats, kill -9, damage."""

import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from inspector.clock import NS_PER_S
from inspector.errors import ConfigError, StoreError
from inspector.store.layout import RESULTS_NAME
from inspector.store.results import MAX_WAITING, ResultWriter
from inspector.store.results_query import ResultReader, VerdictCount
from inspector.types import (
    Action,
    Decision,
    Delivery,
    DeliveryState,
    Explanation,
    ExplanationSource,
    Fault,
    FrameResult,
    Heatmap,
    PartEvidence,
    ReasonCode,
    ResultStatus,
    Verdict,
    VerdictRecord,
)

OFFSET_NS = 1_763_823_815 * NS_PER_S


def record(
    seq: int, action: Action = Action.PASS, decision: Decision = Decision.CONFIRMED_ACTION
) -> VerdictRecord:
    verdict = Verdict(
        verdict_id=f"e-{seq}",
        part_id=f"P{seq}",
        seq=seq,
        decision=decision,
        action=action,
        reason_code=ReasonCode.GOOD,
        confidence=0.9,
        p_defect=None,
        weights={"vision": 1.0},
        skew_ms=0.5,
        modalities=("vision",),
        missing=("sensor.vib1",),
        cause="",
        trigger_ns=seq * 100,
        decided_ns=seq * 100 + 50,
        deadline_ns=seq * 100 + 250,
        valid_until_ns=seq * 100 + 500,
        failsafe=False,
        config_sha256="c",
        model_sha256="m",
    )
    result = FrameResult(
        camera_id="cam1",
        frame_id=seq,
        exposure_start_ns=1,
        received_ns=2,
        model_sha256="m",
        status=ResultStatus.OK,
        p_defect=0.1,
        heatmap=Heatmap(width=64, height=64, data=bytes(4096)),
        started_ns=3,
        finished_ns=4,
    )
    evidence = PartEvidence(
        part_id=f"P{seq}", trigger_ns=1, results=(result,), window_start_ns=0, window_end_ns=2
    )
    return VerdictRecord(verdict=verdict, evidence=evidence)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[ResultWriter]:
    with ResultWriter(tmp_path / RESULTS_NAME, "session-1", OFFSET_NS) as it:
        yield it


def test_queries_by_part_time_decision_and_action(database: ResultWriter, tmp_path: Path) -> None:
    for seq in range(1, 31):
        action = Action.REJECT if seq % 10 == 0 else Action.PASS
        database.add(record(seq, action))
    database.add(record(31, Action.STOP, Decision.EMERGENCY_BRAKE))
    database.commit()
    with ResultReader(tmp_path / RESULTS_NAME) as reader:

        def ids(**query: object) -> list[int]:
            return [v.verdict.seq for v in reader.verdicts(**query)]  # type: ignore[arg-type]

        (one,) = reader.verdicts(part_id="P7")
        assert one.verdict == record(7).verdict
        assert one.session == "session-1"
        assert one.decided_utc_ns == OFFSET_NS + 750
        assert one.evidence.results[0].frame_id == 7
        assert one.evidence.results[0].heatmap is None
        assert ids(verdict_id="e-9") == [9]
        assert ids(action=Action.REJECT) == [30, 20, 10]
        assert ids(decision=Decision.EMERGENCY_BRAKE) == [31]
        assert ids(since_utc_ns=OFFSET_NS + 550, until_utc_ns=OFFSET_NS + 850) == [7, 6, 5]
        assert ids(limit=2) == [31, 30]
        assert ids(part_id="' OR 1=1 --") == []
        assert VerdictCount("session-1", Decision.CONFIRMED_ACTION, Action.REJECT, 3) in reader.counts()
        assert reader.counts(session="other") == ()
        assert reader.parts("session-1") == 31


def test_what_followed_a_verdict(database: ResultWriter, tmp_path: Path) -> None:
    def explanation(source: ExplanationSource) -> Explanation:
        return Explanation(
            verdict_id="e-1",
            part_id="P1",
            text=source.value,
            cause="",
            recommended_action="",
            source=source,
            cited=(),
            model_sha256="",
            latency_ms=1.0,
        )

    states = (DeliveryState.DELIVERED, DeliveryState.ACKNOWLEDGED)
    deliveries = tuple(
        Delivery(verdict_id="e-1", part_id="P1", state=state, at_ns=n) for n, state in enumerate(states)
    )
    fault = Fault(service="camera.cam1", code="CAMERA_LOST", text="check the cable", at_ns=9)
    for delivery in deliveries:
        database.add(delivery)
    database.add(fault)
    database.add(explanation(ExplanationSource.TEMPLATE))
    database.commit()
    with ResultReader(tmp_path / RESULTS_NAME) as reader:
        assert reader.explanation("e-1") == explanation(ExplanationSource.TEMPLATE)
        database.add(explanation(ExplanationSource.LLM))
        database.commit()
        assert reader.explanation("e-1") == explanation(ExplanationSource.LLM)
        assert reader.explanation("e-2") is None
        assert reader.deliveries("e-1") == deliveries
        assert reader.faults() == ((OFFSET_NS + 9, fault),)


def test_storing_twice_changes_nothing(tmp_path: Path) -> None:
    fault = Fault(service="a", code="B", text="c", at_ns=1)
    for _ in range(2):
        with ResultWriter(tmp_path / RESULTS_NAME, "s", OFFSET_NS) as database:
            database.add(record(1))
            database.add(record(1))
            database.add(fault)
    with ResultReader(tmp_path / RESULTS_NAME) as reader:
        assert len(reader.verdicts()) == 1
        assert len(reader.faults()) == 1


WRITER = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from test_store_results import OFFSET_NS, record
from inspector.store.results import ResultWriter
database = ResultWriter(Path(sys.argv[1]) / 'results.db', "s", OFFSET_NS)
for seq in range(1, 100_000):
    database.add(record(seq))
    if seq % 50 == 0:
        database.commit()
        print(seq, flush=True)
"""


def test_killed_writer_loses_no_commit(tmp_path: Path) -> None:
    arguments = [sys.executable, "-c", WRITER, str(tmp_path), str(Path(__file__).parent)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        committed = [int(next(process.stdout)) for _ in range(5)][-1]
        process.send_signal(signal.SIGKILL)
    with ResultWriter(tmp_path / RESULTS_NAME, "s", OFFSET_NS) as database:
        database.add(record(999_999))
    with ResultReader(tmp_path / RESULTS_NAME) as reader:
        seqs = sorted(v.verdict.seq for v in reader.verdicts(limit=1_000_000))
    assert seqs[:-1] == list(range(1, len(seqs)))
    assert len(seqs) > committed


def test_refused_rows_wait_for_the_next_commit(tmp_path: Path) -> None:
    with ResultWriter(tmp_path / RESULTS_NAME, "s", OFFSET_NS) as database:
        other = sqlite3.connect(tmp_path / RESULTS_NAME, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        database.add(record(1))
        with pytest.raises(StoreError, match="locked"):
            database.commit()
        other.execute("COMMIT")
        other.close()
        database.commit()
        with ResultReader(tmp_path / RESULTS_NAME) as reader:
            assert len(reader.verdicts()) == 1
        assert database.lost == 0


def test_rows_that_wait_are_bounded(database: ResultWriter) -> None:
    for at_ns in range(MAX_WAITING + 5):
        database.add(Fault(service="a", code="B", text="c", at_ns=at_ns))
    assert database.lost == 5
    database.commit()
    with ResultReader(database.path) as reader:
        faults = reader.faults(limit=2 * MAX_WAITING)
    assert [fault.at_ns for _, fault in faults] == list(range(MAX_WAITING + 4, 4, -1))


def test_trim_deletes_the_oldest(database: ResultWriter, tmp_path: Path) -> None:
    for seq in range(1, 2001):
        database.add(record(seq))
    database.add(Fault(service="a", code="B", text="c", at_ns=1))
    database.add(Delivery(verdict_id="e-1", part_id="P1", state=DeliveryState.DELIVERED, at_ns=2))
    database.commit()
    assert database.trim(1 << 30) == 0
    assert database.trim(2_000_000) > 0
    with ResultReader(tmp_path / RESULTS_NAME) as reader:
        seqs = [v.verdict.seq for v in reader.verdicts(limit=5000)]
        assert seqs == list(range(2000, 2000 - len(seqs), -1))
        assert 100 < len(seqs) < 1900
        assert reader.faults() == ()
        assert reader.deliveries("e-1") == ()
    database.trim(0)


def test_what_is_no_results_database_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no results database"):
        ResultReader(tmp_path / RESULTS_NAME)
    (tmp_path / RESULTS_NAME).write_bytes(b"this is a text file and no database at all" * 99)
    with pytest.raises(ConfigError, match="not a results database"):
        ResultReader(tmp_path / RESULTS_NAME)
    with pytest.raises(StoreError, match="move it away"):
        ResultWriter(tmp_path / RESULTS_NAME, "s", 0)
    with pytest.raises(StoreError, match="unable to open"):
        ResultWriter(tmp_path / "none" / "x.db", "s", 0)


def test_a_later_format_is_refused(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / RESULTS_NAME) as other:
        other.execute("PRAGMA user_version=9")
    with pytest.raises(ConfigError, match="format 9"):
        ResultWriter(tmp_path / RESULTS_NAME, "s", 0)
    with pytest.raises(ConfigError, match="format 9"):
        ResultReader(tmp_path / RESULTS_NAME)
