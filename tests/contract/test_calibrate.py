"""`inspector calibrate fusion`, from a recorded session and its labels to a file that the arbiter takes."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
import typer
from decide_line import Line, setup_for
from labelled_parts import line_of_parts
from msgspec.structs import replace
from typer.testing import CliRunner

from inspector.clock import SystemClock
from inspector.config import FusionWeights
from inspector.decide.rules import judge
from inspector.decide.verdicts import Times, make_record
from inspector.errors import ConfigError
from inspector.fusion.fit import Example
from inspector.services.calibrate import calibrate_fusion
from inspector.services.labels import read_labels
from inspector.services.weights_file import read_weights, write_weights
from inspector.store.layout import SessionInfo
from inspector.store.session import SessionWriter
from inspector.strict_data import to_plain
from inspector.topics import VERDICTS
from inspector.types import PartTrigger

SETUP = setup_for(("cam1",))


def record(folder: Path, examples: Sequence[Example]) -> Path:
    """A session of these parts, with their labels beside it."""
    info = SessionInfo(
        run_id="r",
        config_sha256="c",
        model_sha256="m",
        versions={},
        arbiter_setup=to_plain(SETUP),
    )
    with SessionWriter(folder, info, clock=SystemClock(), frame_reserve_bytes=0) as writer:
        for number, example in enumerate(examples):
            judged = judge(example.evidence, SETUP.decision)
            times = Times(decided_ns=0, deadline_ns=0, valid_until_ns=0)
            one = make_record(
                example.evidence, judged, SETUP, verdict_id=f"v{number}", seq=number + 1, times=times
            )
            while not writer.write(VERDICTS.name, one, number):
                writer.flush()
    rows = [f"{each.evidence.part_id},{'yes' if each.defective else 'no'}" for each in examples]
    (writer.path / "labels.csv").write_text("part_id,defective\n" + "\n".join(rows) + "\n")
    return writer.path


def run(*arguments: str) -> tuple[int, str, BaseException | None]:
    app = typer.Typer()
    app.command()(calibrate_fusion)
    result = CliRunner().invoke(app, list(arguments))
    return result.exit_code, result.output, result.exception


def test_from_a_session_to_weights_that_decide_better(tmp_path: Path) -> None:
    session = record(tmp_path / "sessions", line_of_parts(1200, 21, degraded=True))
    out = tmp_path / "fusion.json"
    status, said, _ = run(str(session), "--out", str(out), "--json")
    told = json.loads(said.splitlines()[-1])
    assert status == 0
    assert told["fitted"]["accuracy"] >= told["fixed"]["accuracy"] + 0.03
    weights = read_weights(out)
    assert weights.examples == 1200
    right = {fitted: decided_right(weights if fitted else None) for fitted in (False, True)}
    assert right[True] > right[False]


def decided_right(weights: FusionWeights | None) -> int:
    """How many of other parts of that line an arbiter with these weights confirms, and rightly."""
    line = Line(replace(SETUP, fusion=weights))
    examples = line_of_parts(400, 22, degraded=True)
    for each in examples:
        at_ms = each.evidence.trigger_ns / 1e6
        part = PartTrigger(
            part_id=each.evidence.part_id,
            seq=1,
            trigger_ns=each.evidence.trigger_ns,
            received_ns=each.evidence.trigger_ns,
        )
        line.at(at_ms, event=each.evidence.events[0])
        line.at(at_ms, trigger=part)
        line.at(at_ms + 20, result=each.evidence.results[0])
    line.at(1e9)
    truth = {each.evidence.part_id: each.defective for each in examples}
    assert {verdict.part_id for verdict in line.verdicts} == set(truth)
    wanted = {True: "REJECT", False: "PASS"}
    return sum(verdict.action == wanted[truth[verdict.part_id]] for verdict in line.verdicts)


def test_few_labels_leave_the_fixed_weights_and_write_nothing(tmp_path: Path) -> None:
    session = record(tmp_path / "sessions", line_of_parts(30, 23, degraded=True))
    out = tmp_path / "fusion.json"
    status, said, _ = run(str(session), "--out", str(out))
    assert status == 0
    assert "the fixed weights stay: 30 labelled parts" in said
    assert not out.exists()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("part,defective\nP1,yes\n", "no column part_id"),
        ("part_id,defective\nP1,maybe\n", ":2: 'maybe' for part 'P1'"),
        ("part_id,defective\nP1\n", ":2: None"),
        ("", "no column part_id"),
        ("part_id,defective\nP1,\xff", "no CSV file"),
    ],
)
def test_wrong_labels_are_one_clear_line(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "labels.csv"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(ConfigError) as raised:
        read_labels(path)
    assert told in str(raised.value)
    assert str(path) in str(raised.value)


def test_labels_of_other_parts_are_said_to_be_of_no_use(tmp_path: Path) -> None:
    session = record(tmp_path / "sessions", line_of_parts(3, 24, degraded=False))
    labels = tmp_path / "other.csv"
    labels.write_text("part_id,defective\nX1,yes\n")
    _, _, raised = run(str(session), "--labels", str(labels))
    assert isinstance(raised, ConfigError)
    assert "no part of these sessions has a label" in str(raised)


@pytest.mark.parametrize("text", ["", "{}", '{"examples": 1, "vision": {"weight": -1}}', "[1]"])
def test_a_damaged_file_of_weights_is_one_clear_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "fusion.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"fusion\.json"):
        read_weights(path)


def test_weights_read_back_as_they_were_written(tmp_path: Path) -> None:
    session = record(tmp_path / "sessions", line_of_parts(400, 25, degraded=True))
    out = tmp_path / "site" / "fusion.json"
    assert run(str(session), "--out", str(out))[0] == 0
    weights = read_weights(out)
    write_weights(out, weights)
    assert read_weights(out) == weights
