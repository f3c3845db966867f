"""`inspector calibrate opinion`: a server over HTTP, and a weight that was earned or nought."""

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import typer
import yaml
from chat_server import MODEL, ChatServer, opinion
from decide_line import setup_for
from labelled_parts import evidence
from typer.testing import CliRunner

from inspector.clock import SystemClock
from inspector.config import LlmServerConfig
from inspector.decide.rules import judge
from inspector.decide.verdicts import Times, make_record
from inspector.errors import ConfigError
from inspector.explain.opinion_file import load_fit
from inspector.explain.server import server_sha256
from inspector.services.calibrate_opinion import calibrate_opinion
from inspector.store.layout import SessionInfo
from inspector.store.session import SessionWriter
from inspector.topics import VERDICTS
from inspector.types import Detection

SETUP = setup_for(("cam1",))


def knows(body: dict[str, Any]) -> dict[str, Any]:
    """What cracks mean to it: nearly always a defect."""
    return opinion(0.9 if "crack" in body["messages"][-1]["content"] else 0.15)


def guesses(body: dict[str, Any]) -> dict[str, Any]:
    return opinion(random.Random(body["messages"][-1]["content"]).random())


@pytest.fixture
def server(request: pytest.FixtureRequest) -> Iterator[ChatServer]:
    made = ChatServer(request.param)
    yield made
    made.close()


def site(folder: Path, server: ChatServer) -> Path:
    (folder / "cam.yaml").write_text(yaml.safe_dump({"id": "cam1", "select": {"serial": "S1"}}))
    path = folder / "site.yaml"
    explainer = {"server": {"url": server.url, "model": MODEL, "timeout_ms": 20_000}, "opinions": True}
    made = {
        "base_topic": "a/b/c",
        "cameras": ["cam.yaml"],
        "detector": {"model": "m"},
        "explainer": explainer,
    }
    path.write_text(yaml.safe_dump(made))
    return path


def session(folder: Path, count: int, *, sure: int = 10) -> Path:
    """Parts that vision is unsure of, a crack on most of the defective ones, and `sure` others."""
    rng = random.Random(4)
    info = SessionInfo(
        run_id="r", config_sha256="c", model_sha256="m", versions={}, arbiter_setup={"decision": {}}
    )
    rows = ["part_id,defective"]
    with SessionWriter(folder, info, clock=SystemClock(), frame_reserve_bytes=0) as writer:
        for number in range(count + sure):
            defective = number % 2 == 0
            part = evidence(number, 0.99 if number >= count else rng.uniform(0.4, 0.6))
            label = "crack" if rng.random() < (0.9 if defective else 0.1) else "stain"
            found = Detection(label=label, score=0.5, box_px=(1, 1, 9, 9 + number))
            seen = msgspec.structs.replace(part.results[0], detections=(found,))
            part = msgspec.structs.replace(part, results=(seen,))
            times = Times(decided_ns=0, deadline_ns=0, valid_until_ns=0)
            one = make_record(
                part, judge(part, SETUP.decision), SETUP, verdict_id=f"v{number}", seq=number + 1, times=times
            )
            while not writer.write(VERDICTS.name, one, number):
                writer.flush()
            rows.append(f"{part.part_id},{'yes' if defective else 'no'}")
    (writer.path / "labels.csv").write_text("\n".join(rows) + "\n")
    return writer.path


def run(*arguments: str) -> tuple[int, str, BaseException | None]:
    app = typer.Typer()
    app.command()(calibrate_opinion)
    result = CliRunner().invoke(app, list(arguments))
    return result.exit_code, result.output, result.exception


@pytest.mark.parametrize("server", [knows], indirect=True)
def test_a_model_that_knows_earns_a_weight_which_the_cell_then_uses(
    tmp_path: Path, server: ChatServer
) -> None:
    status, told, error = run(str(site(tmp_path, server)), str(session(tmp_path / "s", 80)), "--json")
    assert status == 0, error
    figures = json.loads(told.splitlines()[-1])
    assert figures["weight"] > 0.2
    assert figures["right_with"] > figures["right_without"] + 0.2
    assert figures["loss_with"] < figures["loss_without"]
    fit = load_fit(tmp_path)
    assert fit is not None
    assert fit.weight == figures["weight"]
    assert fit.model_sha256 == server_sha256(LlmServerConfig(url=server.url, model=MODEL))
    assert fit.p_defect(0.9) > 0.55 > fit.p_defect(0.15)
    assert len(server.requests) == 80  # nobody is asked about a part that the cell is sure of


@pytest.mark.parametrize("server", [guesses], indirect=True)
def test_a_model_that_guesses_earns_nought_and_that_is_kept_and_said(
    tmp_path: Path, server: ChatServer
) -> None:
    status, told, error = run(str(site(tmp_path, server)), str(session(tmp_path / "s", 80)))
    assert status == 0, error
    assert "weight 0" in told
    fit = load_fit(tmp_path)
    assert fit is not None
    assert fit.weight == 0.0


@pytest.mark.parametrize("server", [knows], indirect=True)
def test_too_few_unsure_parts_are_one_line_and_nobody_is_asked(tmp_path: Path, server: ChatServer) -> None:
    status, _, error = run(str(site(tmp_path, server)), str(session(tmp_path / "s", 12)))
    assert status != 0
    assert isinstance(error, ConfigError)
    assert "10 good and 10 defective" in str(error)
    assert not server.requests
    assert load_fit(tmp_path) is None
