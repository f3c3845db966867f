"""A language model behind a server: what is sent, what is believed, and what a bad server cannot do."""

import json
import math
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspector.clock import NS_PER_S, SystemClock
from inspector.config import LlmServerConfig
from inspector.errors import ConfigError, ModelError
from inspector.explain.breaker import FAILURES, FIRST_REST_NS, Breaker
from inspector.explain.engine import DeadlineError, PreemptedError
from inspector.explain.prompt import Turn
from inspector.explain.server import ServerEngine
from inspector.explain.server_messages import body, message, parse_answer, parse_choice
from inspector.explain.server_target import target

CLOCK = SystemClock()
SCHEMA = {"type": "object", "properties": {"text": {"type": "string", "pattern": "^a+$"}}}
PROMPT = (Turn("user", "hello"),)
GOOD = json.dumps({"choices": [{"message": {"content": '{"text":"a"}'}, "finish_reason": "stop"}]}).encode()
Reply = Callable[[dict[str, Any]], tuple[int, bytes]]


class _Quiet(ThreadingHTTPServer):
    def handle_error(self, *_: object) -> None:
        """A client that leaves early is what some of these tests are about."""


class Stub:
    """A server that says what a test wants; remembers what it was asked and over how many connections."""

    def __init__(self, reply: Reply) -> None:
        self.asked: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.connections = 0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                outer.connections += 1
                super().setup()

            def do_POST(self) -> None:
                asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outer.asked.append(asked)
                outer.headers.append(dict(self.headers))
                status, raw = reply(asked)
                self.send_response(status)
                self.send_header("Content-Length", str(len(raw)))
                self.send_header("Location", "http://127.0.0.1:1/elsewhere")
                self.end_headers()
                self.wfile.write(raw)

            def log_message(self, *_: object) -> None:
                """Tests are quiet."""

        self._server = _Quiet(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def serve() -> Iterator[Callable[..., tuple[Stub, ServerEngine]]]:
    made: list[Stub | ServerEngine] = []

    def make(reply: Reply, **settings: Any) -> tuple[Stub, ServerEngine]:
        stub = Stub(reply)
        engine = ServerEngine(LlmServerConfig(url=stub.url, **{"timeout_ms": 5000, **settings}), CLOCK)
        made.extend((engine, stub))
        return stub, engine

    yield make
    for each in made:
        each.close()


def in_s(seconds: float) -> int:
    return CLOCK.now_ns() + int(seconds * NS_PER_S)


Serve = Callable[..., tuple[Stub, ServerEngine]]


def test_one_connection_is_kept(serve: Serve) -> None:
    stub, engine = serve(lambda _: (200, GOOD))
    assert [engine.complete(PROMPT, SCHEMA, in_s(5)) for _ in range(4)] == ['{"text":"a"}'] * 4
    assert stub.connections == 1
    assert stub.asked[0]["response_format"]["json_schema"]["schema"] == SCHEMA
    assert stub.asked[0]["temperature"] == 0


def test_a_server_that_knows_no_patterns_is_asked_without(serve: Serve) -> None:
    def reply(asked: dict[str, Any]) -> tuple[int, bytes]:
        return (400, b"no pattern") if "pattern" in json.dumps(asked) else (200, GOOD)

    stub, engine = serve(reply)
    engine.complete(PROMPT, SCHEMA, in_s(5))
    engine.complete(PROMPT, SCHEMA, in_s(5))
    assert len(stub.asked) == 3  # it is not asked in vain again


@pytest.mark.parametrize("status", [400, 404, 500, 503])
def test_a_server_that_was_in_trouble_is_asked_for_the_strictest_form_again(
    serve: Serve, status: int
) -> None:
    well = False
    stub, engine = serve(lambda _: (200, GOOD) if well else (status, b"in trouble"))
    with pytest.raises(ModelError, match=str(status)):
        engine.complete(PROMPT, SCHEMA, in_s(5))
    well = True
    engine.complete(PROMPT, SCHEMA, in_s(5))
    assert stub.asked[-1]["response_format"]["json_schema"]["schema"] == SCHEMA


def test_one_error_of_the_servers_own_loosens_no_form(serve: Serve) -> None:
    replies = [(500, b"out of memory"), (200, GOOD), (200, GOOD)]
    stub, engine = serve(lambda _: replies.pop(0))
    with pytest.raises(ModelError, match="500"):
        engine.complete(PROMPT, SCHEMA, in_s(5))
    engine.complete(PROMPT, SCHEMA, in_s(5))
    assert stub.asked[-1]["response_format"]["json_schema"]["schema"] == SCHEMA


def test_the_timeout_holds_whatever_the_deadline(serve: Serve) -> None:
    gate = threading.Event()

    def reply(_: dict[str, Any]) -> tuple[int, bytes]:
        gate.wait(10)
        return 200, GOOD

    _, engine = serve(reply, timeout_ms=50)
    with pytest.raises(DeadlineError):
        engine.complete(PROMPT, SCHEMA, in_s(60))
    gate.set()


def test_after_failures_in_a_row_it_is_left_alone(serve: Serve) -> None:
    stub, engine = serve(lambda _: (503, b"loading"))
    for _ in range(FAILURES):
        with pytest.raises(ModelError, match="503"):
            engine.complete(PROMPT, SCHEMA, in_s(5))
    asked = len(stub.asked)
    with pytest.raises(ModelError, match="left alone"):
        engine.complete(PROMPT, SCHEMA, in_s(5))
    assert len(stub.asked) == asked


def test_a_redirect_is_not_followed_and_a_flood_is_not_swallowed(serve: Serve) -> None:
    _, moved = serve(lambda _: (302, b""))
    with pytest.raises(ModelError, match="302"):
        moved.complete(PROMPT, SCHEMA, in_s(5))
    _, flood = serve(lambda _: (200, b" " * (3 << 20)))
    with pytest.raises(ModelError, match="longer than"):
        flood.complete(PROMPT, SCHEMA, in_s(5))


def test_several_at_a_time_where_the_site_allows_it(serve: Serve) -> None:
    both = threading.Barrier(2, timeout=10)

    def reply(_: dict[str, Any]) -> tuple[int, bytes]:
        both.wait()
        return 200, GOOD

    _, engine = serve(reply, max_concurrent=2)
    answers: list[str] = []
    asking = [
        threading.Thread(target=lambda: answers.append(engine.complete(PROMPT, SCHEMA, in_s(10))))
        for _ in range(2)
    ]
    for each in asking:
        each.start()
    for each in asking:
        each.join()
    assert len(answers) == 2


def test_nobody_there_is_a_model_error() -> None:
    engine = ServerEngine(LlmServerConfig(url="http://127.0.0.1:9/v1"), CLOCK)
    began = time.monotonic()
    with pytest.raises(ModelError):
        engine.complete(PROMPT, SCHEMA, in_s(5))
    engine.close()
    assert time.monotonic() > began
    with pytest.raises(ModelError, match="closed"):
        engine.complete(PROMPT, SCHEMA, in_s(5))


def test_the_breaker_tries_once_after_its_rest() -> None:
    breaker = Breaker()
    for _ in range(FAILURES):
        assert breaker.lets(0)
        breaker.failed(0)
    assert not breaker.lets(FIRST_REST_NS - 1)
    assert breaker.lets(FIRST_REST_NS)
    assert not breaker.lets(FIRST_REST_NS)  # one try at a time
    breaker.failed(FIRST_REST_NS)
    assert not breaker.lets(2 * FIRST_REST_NS)
    assert breaker.lets(4 * FIRST_REST_NS)
    breaker.succeeded()
    assert breaker.lets(0)
    assert not breaker.is_open


class HandClock:
    """Time passes when a test says so."""

    def __init__(self) -> None:
        self.ns = CLOCK.now_ns()

    def now_ns(self) -> int:
        return self.ns

    def utc_ns(self) -> int:
        return self.ns


def test_a_try_that_was_interrupted_is_followed_by_another(serve: Serve) -> None:
    asked, gate, clock = threading.Event(), threading.Event(), HandClock()
    well = False

    def reply(_: dict[str, Any]) -> tuple[int, bytes]:
        if not well:
            return 503, b"loading"
        asked.set()
        gate.wait(10)
        return 200, GOOD

    stub, _ = serve(reply)
    engine = ServerEngine(LlmServerConfig(url=stub.url, timeout_ms=5000, max_concurrent=2), clock)
    for _ in range(FAILURES):
        with pytest.raises(ModelError, match="503"):
            engine.complete(PROMPT, SCHEMA, clock.now_ns() + 5 * NS_PER_S)
    well = True
    clock.ns += FIRST_REST_NS
    ended: list[ModelError] = []

    def tried() -> None:
        try:
            engine.complete(PROMPT, SCHEMA, clock.now_ns() + 5 * NS_PER_S)
        except ModelError as error:
            ended.append(error)

    trying = threading.Thread(target=tried)
    trying.start()
    assert asked.wait(10)
    engine.interrupt()
    trying.join(10)
    assert [type(error) for error in ended] == [PreemptedError]
    gate.set()
    assert engine.complete(PROMPT, SCHEMA, clock.now_ns() + 5 * NS_PER_S) == '{"text":"a"}'
    engine.close()


def test_images_go_only_to_a_model_that_sees() -> None:
    turn = Turn("user", "look", images=(b"\x89PNG",))
    assert message(turn, images=False)["content"] == "look"
    seen = message(turn, images=True)["content"]
    assert seen[0] == {"type": "text", "text": "look"}
    assert seen[1]["image_url"]["url"] == "data:image/png;base64,iVBORw=="
    config = LlmServerConfig(url="http://h/v1", images=True)
    assert body(config, (turn,), SCHEMA, max_tokens=9, form="none")["messages"][0]["content"] == seen


def test_keys_come_from_the_environment_or_a_file_and_never_in_the_clear(tmp_path: Path) -> None:
    url, secure = "http://localhost:1/v1", "https://llm.plant.example/v1/"
    key = tmp_path / "key"
    key.write_text("s3cret\n")
    for config in (
        LlmServerConfig(url=url, api_key_env="K"),
        LlmServerConfig(url=secure, api_key_file=key),
    ):
        found = target(config, {"K": "s3cret"})
        assert found.headers["Authorization"] == "Bearer s3cret"
        assert found.path == "/v1/chat/completions"
    with pytest.raises(ConfigError, match="not set"):
        target(LlmServerConfig(url=url, api_key_env="K"), {})
    with pytest.raises(ConfigError, match="in the clear"):
        target(LlmServerConfig(url="http://llm.plant.example/v1", api_key_env="K"), {"K": "x"})
    with pytest.raises(ConfigError, match="header"):
        target(LlmServerConfig(url=url, api_key_env="K"), {"K": "a\r\nX: y"})
    with pytest.raises(ConfigError, match="ca_file"):
        target(LlmServerConfig(url=secure, ca_file=tmp_path / "none.pem"), {})


def test_a_choice_is_counted_whatever_its_case_and_spaces() -> None:
    def raw(*tokens: tuple[str, float]) -> bytes:
        top = [{"token": token, "logprob": math.log(p)} for token, p in tokens]
        return json.dumps({"choices": [{"logprobs": {"content": [{"top_logprobs": top}]}}]}).encode()

    found = parse_choice(200, raw((" Yes", 0.3), ("yes", 0.3), ("No", 0.2), ("x", 0.2)), "h", ("no", "yes"))
    assert found == pytest.approx((0.25, 0.75))
    with pytest.raises(ModelError, match="none of no, yes"):
        parse_choice(200, raw(("maybe", 0.9)), "h", ("no", "yes"))
    for damaged in (
        b"",
        b"{}",
        GOOD,
        b'{"choices":[{"logprobs":{"content":[{"top_logprobs":[{"token":"no"}]}]}}]}',
    ):
        with pytest.raises(ModelError):
            parse_choice(200, damaged, "h", ("no", "yes"))


@given(st.binary(max_size=200) | st.recursive(st.none() | st.integers() | st.text(), lambda v: st.lists(v)
    | st.dictionaries(st.sampled_from(["choices", "message", "content", "usage"]), v)).map(
        lambda v: json.dumps(v).encode()))  # fmt: skip
def test_whatever_a_server_says_is_an_answer_or_one_error(raw: bytes) -> None:
    try:
        answer = parse_answer(200, raw, "host")
    except ModelError:
        return
    assert answer.text
