"""What `Engine` promises, on the real engine with the small weights: slow answers, deadlines, closing."""

import json
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from llm_servers import LocalServer
from msgspec.structs import replace

from inspector.clock import NS_PER_MS, NS_PER_S, SystemClock
from inspector.config import ExplainerConfig
from inspector.errors import ModelError
from inspector.explain.causes import rank_causes
from inspector.explain.engine import DeadlineError, Engine, PreemptedError
from inspector.explain.explainer import Explainer
from inspector.explain.facts import LineContext
from inspector.explain.gather import gather
from inspector.explain.grammar import schema_for
from inspector.explain.probe import PROBE
from inspector.explain.prompt import Turn, build
from inspector.explain.server import ServerEngine
from inspector.explain.start import open_engine
from inspector.explain.weights import resolve

SMALL = "smollm2-135m"
CLOCK = SystemClock()
FACTS = gather(PROBE, LineContext())
CAUSES = rank_causes(FACTS)
WHOLE_PROMPT, SCHEMA = build(FACTS, CAUSES), schema_for(FACTS, CAUSES)
PROMPT = (WHOLE_PROMPT[0], WHOLE_PROMPT[-1])  # without the examples, which take their time
SHORT_SCHEMA = {
    "type": "object",
    "properties": {"cause": {"enum": [1, 2]}},
    "required": ["cause"],
    "additionalProperties": False,
}
LONG_SCHEMA = {
    "type": "object",
    "properties": {"text": {"type": "string", "minLength": 2000}},
    "required": ["text"],
    "additionalProperties": False,
}


@pytest.fixture(scope="module")
def small_model() -> Path:
    try:
        return resolve(SMALL).path
    except ModelError:
        pytest.skip(f"needs the small weights (98 MB): inspector models pull {SMALL}")


@pytest.fixture(scope="module")
def server(small_model: Path) -> Iterator[LocalServer]:
    """llama.cpp's own HTTP server on a free port of loopback, with a key."""
    made = LocalServer(small_model)
    yield made
    made.close()


@pytest.fixture(scope="module", params=["in_process", "server"])
def engine(request: pytest.FixtureRequest, small_model: Path) -> Iterator[Engine]:
    before = signal.getsignal(signal.SIGTERM)
    assert small_model.exists()
    if request.param == "server":
        local: LocalServer = request.getfixturevalue("server")
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("TEST_LLM_KEY", local.key)
            made = open_engine(ExplainerConfig(server=local.config), CLOCK)
    else:
        made = open_engine(ExplainerConfig(model=SMALL, nice=0), CLOCK)
    assert signal.getsignal(signal.SIGTERM) == before
    yield made
    made.close()
    names = {thread.name for thread in threading.enumerate()}
    assert not names & {"language-model", "llm-server"}


def in_s(seconds: float) -> int:
    return CLOCK.now_ns() + int(seconds * NS_PER_S)


def test_the_answer_is_in_the_schema(engine: Engine) -> None:
    answer = engine.complete(PROMPT, SCHEMA, in_s(120))
    parsed = json.loads(answer)
    assert parsed["text"].startswith(FACTS.opening)
    assert parsed["cause"] == 1
    assert set(parsed["cited"]) <= {fact.id for fact in FACTS.facts}
    assert engine.usage.written > 0
    if not isinstance(engine, ServerEngine):  # ours is told to waste no tokens on white space
        assert answer == json.dumps(parsed, separators=(",", ":"))


@pytest.mark.parametrize("engine", ["in_process"], indirect=True)  # what a server keeps is the server's
def test_the_constant_prompt_is_read_once(engine: Engine) -> None:
    engine.complete(WHOLE_PROMPT, SHORT_SCHEMA, in_s(120))
    other = Turn("user", WHOLE_PROMPT[-1].content.replace("PROBE1", "B9"))
    engine.complete((*WHOLE_PROMPT[:-1], other), SHORT_SCHEMA, in_s(120))
    assert engine.usage.cached > 3 * engine.usage.read


def test_an_explanation_comes_whoever_wrote_it(engine: Engine) -> None:
    explainer = Explainer(engine, LineContext(), CLOCK)
    explanation = explainer.explain(PROBE, in_s(120))
    assert explanation.text.startswith("Part PROBE1 was rejected")
    assert explainer.counters["asked"] >= 1
    # A server that does not know how long a text may be lets the small model go on to the limit.
    assert explainer.counters["failed"] == 0 or "max_tokens" in explainer.fault


def test_a_choice_has_probabilities(engine: Engine) -> None:
    asked = (Turn("user", "Is water wet? Answer with one word, yes or no."),)
    no, yes = engine.choose(asked, ("no", "yes"), in_s(60))
    assert 0.0 < no < 1.0
    assert no + yes == pytest.approx(1.0)
    assert engine.choose(asked, ("no", "yes"), in_s(60)) == pytest.approx((no, yes), abs=0.05)


def test_an_interrupted_call_says_so_and_the_engine_stays_usable(engine: Engine) -> None:
    timer = threading.Timer(0.3, engine.interrupt)
    timer.start()
    with pytest.raises(PreemptedError):
        engine.complete((Turn("user", "Say something else. " * 100),), SCHEMA, in_s(60))
    timer.join()
    assert json.loads(engine.complete(PROMPT, SHORT_SCHEMA, in_s(120)))


def test_the_same_question_has_the_same_answer(engine: Engine) -> None:
    assert engine.complete(PROMPT, SCHEMA, in_s(120)) == engine.complete(PROMPT, SCHEMA, in_s(120))


def test_late_raises_and_the_engine_stays_usable(engine: Engine) -> None:
    fresh = (Turn("user", "Say something new. " * 100),)  # more prompt than fits the time
    with pytest.raises(DeadlineError):
        engine.complete(fresh, SCHEMA, CLOCK.now_ns() + 50 * NS_PER_MS)
    with pytest.raises(DeadlineError):
        engine.complete(PROMPT, SCHEMA, CLOCK.now_ns() - 1)
    assert json.loads(engine.complete(PROMPT, SCHEMA, in_s(120)))


def test_an_answer_without_end_and_a_prompt_without_room_are_errors(engine: Engine) -> None:
    with pytest.raises(ModelError, match="max_tokens"):
        engine.complete(PROMPT, LONG_SCHEMA, in_s(120))
    with pytest.raises(ModelError, match=r"refused|answers 400"):
        engine.complete((Turn("user", "word " * 3000),), SCHEMA, in_s(120))


def test_nobody_can_connect(small_model: Path) -> None:
    made = open_engine(ExplainerConfig(model=str(small_model), nice=0), CLOCK)
    try:
        _assert_that_nobody_can_connect()
    finally:
        made.close()


def _assert_that_nobody_can_connect() -> None:
    inodes = {
        os.readlink(link).removeprefix("socket:[").removesuffix("]")
        for link in Path("/proc/self/fd").iterdir()
        if link.is_symlink() and os.readlink(link).startswith("socket:[")
    }
    for table in ("tcp", "tcp6"):
        lines = Path(f"/proc/net/{table}").read_text().splitlines()[1:]
        listening = [line.split() for line in lines if line.split()[3] == "0A"]
        mine = [line for line in listening if line[9] in inodes]
        assert not [line for line in mine if int(line[1].rpartition(":")[2], 16) not in LocalServer.ports]
    for line in Path("/proc/net/unix").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[6] in inodes and len(fields) > 7:
            assert not Path(fields[7]).exists()


def test_a_damaged_file_is_a_model_error(tmp_path: Path) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF" + bytes(1000))
    with pytest.raises(ModelError, match="cannot be loaded"):
        open_engine(ExplainerConfig(model=str(broken)), CLOCK)


def test_a_closed_engine_refuses(engine: Engine, small_model: Path, server: LocalServer) -> None:
    in_process = not isinstance(engine, ServerEngine)
    config = (
        ExplainerConfig(model=str(small_model), nice=0)
        if in_process
        else ExplainerConfig(server=replace(server.config, api_key_env=None))
    )
    closed = open_engine(config, CLOCK)
    closed.close()
    closed.close()
    with pytest.raises(ModelError, match="closed"):
        closed.complete(PROMPT, SCHEMA, in_s(5))


def test_a_server_without_the_right_key_is_a_model_error(server: LocalServer) -> None:
    stranger = ServerEngine(replace(server.config, api_key_env=None), CLOCK)
    try:
        with pytest.raises(ModelError, match="refuses the key"):
            stranger.complete(PROMPT, SCHEMA, in_s(60))
    finally:
        stranger.close()
