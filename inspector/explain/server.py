"""A language model behind an OpenAI-compatible server: llama-server, vLLM, SGLang, Ollama and others.

Each of a few threads keeps one connection. `complete` leaves at its deadline whatever the network
does, name look-up included; the thread then closes its connection, at which servers stop generating.
Redirects and proxies are not followed: what leaves the box goes to the configured host alone.
Reference: the chat completions of github.com/openai/openai-openapi.
"""

import hashlib
import http.client
import json
import queue
import socket
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from inspector.clock import NS_PER_MS, NS_PER_S, Clock
from inspector.config import LlmServerConfig
from inspector.errors import ModelError
from inspector.explain.breaker import Breaker
from inspector.explain.engine import DeadlineError, PreemptedError, Schema, Usage
from inspector.explain.prompt import Prompt
from inspector.explain.server_messages import FORMS, Answer, body, choice_body, parse_answer, parse_choice
from inspector.explain.server_target import Target, target

MAX_ANSWER_BYTES = 1 << 20
_REFUSED_FORM = (400, 404, 415, 422, 501)
"""With these a server may say that it does not know a form of `response_format`; the next is tried.

It is kept only when the server answers it: these may as well be about the request, or the model's name."""
_CHUNK = 1 << 16


@dataclass(slots=True)
class _Job:
    prompt: Prompt
    schema: Schema
    deadline_ns: int
    choices: tuple[str, ...] = ()  # an opinion's; then there is no schema
    shares: tuple[float, ...] = ()
    preempted: bool = False
    done: threading.Event = field(default_factory=threading.Event)
    cancelled: bool = False
    answer: Answer | None = None
    error: ModelError | None = None
    reached: bool = False  # the server is there and at work, whatever it says of this request


def server_sha256(config: LlmServerConfig) -> str:
    """Return what stands for the hash of weights that nobody here sees."""
    return hashlib.sha256(f"{config.url} {config.model}".encode()).hexdigest()


class ServerEngine:
    """See `Engine`. Callable from any thread, `max_concurrent` calls at a time; more wait their turn.

    Raises ConfigError when the credentials or certificates cannot be read. Does not connect yet.
    """

    def __init__(self, config: LlmServerConfig, clock: Clock, *, max_tokens: int = 160) -> None:
        self._config = config
        self._clock = clock
        self._max_tokens = max_tokens
        self._target = target(config)
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._breaker = Breaker()
        self._lock = threading.Lock()
        self._form = 0
        self._usage = Usage()
        self._closed = False
        self._current: list[_Job] = []
        self._threads = [
            threading.Thread(target=self._run, name="llm-server", daemon=True)
            for _ in range(config.max_concurrent)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def model_sha256(self) -> str:
        """The hash of address and model name: the weights are the server's."""
        return server_sha256(self._config)

    @property
    def usage(self) -> Usage:
        return self._usage

    def complete(self, prompt: Prompt, schema: Schema, deadline_ns: int) -> str:
        """Return the model's answer. Waits `timeout_ms` at the longest. See `Engine.complete`."""
        answer = self._ask(_Job(prompt, schema, deadline_ns)).answer
        assert answer is not None
        self._usage = answer.usage
        return answer.text

    def choose(self, prompt: Prompt, choices: tuple[str, ...], deadline_ns: int) -> tuple[float, ...]:
        """Return the choices' shares of the first token's probability. See `Engine.choose`."""
        return self._ask(_Job(prompt, {}, deadline_ns, choices=choices)).shares

    def interrupt(self) -> None:
        for job in list(self._current):
            job.preempted = True
            job.done.set()

    def _ask(self, job: _Job) -> _Job:
        now_ns = self._clock.now_ns()
        with self._lock:
            if self._closed:
                raise ModelError("the connection to the language model is closed")
            if not self._breaker.lets(now_ns):
                raise ModelError(f"{self._target.host} does not answer; it is left alone for a while")
        job.deadline_ns = min(job.deadline_ns, now_ns + self._config.timeout_ms * NS_PER_MS)
        self._current.append(job)
        judged = False
        try:
            self._jobs.put(job)
            in_time = job.done.wait(max(0, job.deadline_ns - now_ns) / NS_PER_S)
            if job.preempted and not (job.answer or job.shares or job.error):
                raise PreemptedError("the language model was needed for something else")
            judged = True
        finally:
            job.cancelled = True
            self._current.remove(job)
            if not judged:  # it may have been the breaker's one try
                with self._lock:
                    self._breaker.given_up()
        late = DeadlineError(f"{self._target.host} had no time to finish")
        with self._lock:
            if in_time and job.reached:
                self._breaker.succeeded()
            else:
                self._breaker.failed(self._clock.now_ns())
        if not in_time or not (job.answer or job.shares):
            raise job.error if in_time and job.error is not None else late
        return job

    def close(self) -> None:
        with self._lock:
            if self._closed:
                return
            self._closed = True
        for _ in self._threads:
            self._jobs.put(None)
        for thread in self._threads:
            thread.join(2.0)

    # -- a thread with its connection ------------------------------------------------------------

    def _run(self) -> None:
        connection = _Connection(self._target, self._clock)
        while (job := self._jobs.get()) is not None:
            if not job.cancelled:
                try:
                    if job.choices:
                        job.shares = self._choice(connection, job)
                    else:
                        job.answer = self._answer(connection, job)
                except ModelError as error:
                    connection.close()
                    job.error = error
            job.done.set()
        connection.close()

    def _choice(self, connection: "_Connection", job: _Job) -> tuple[float, ...]:
        sent = choice_body(self._config, job.prompt, job.choices)
        status, raw = connection.post(json.dumps(sent).encode(), job.deadline_ns)
        job.reached = status < 500 and status != 429
        return parse_choice(status, raw, self._target.host, job.choices)

    def _answer(self, connection: "_Connection", job: _Job) -> Answer:
        form = self._form
        while True:
            sent = body(self._config, job.prompt, job.schema, max_tokens=self._max_tokens, form=FORMS[form])
            status, raw = connection.post(json.dumps(sent).encode(), job.deadline_ns)
            if status in _REFUSED_FORM and form + 1 < len(FORMS):
                form += 1
                continue
            if status == HTTPStatus.OK:
                self._form = max(self._form, form)
            job.reached = status < 500 and status != 429
            return parse_answer(status, raw, self._target.host)


class _Connection:
    """One HTTP connection that is kept, opened again when the server has let it go."""

    def __init__(self, target: Target, clock: Clock) -> None:
        self._target = target
        self._clock = clock
        self._http: http.client.HTTPConnection | None = None

    def close(self) -> None:
        if self._http is not None:
            self._http.close()
            self._http = None

    def post(self, sent: bytes, deadline_ns: int) -> tuple[int, bytes]:
        """Return status and body. Raises DeadlineError, ModelError; the connection is closed then."""
        kept = self._http is not None
        try:
            return self._post(sent, deadline_ns)
        except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError) as error:
            self.close()
            if not kept:
                raise ModelError(f"{self._target.host} closed the connection") from error
        except TimeoutError as error:
            raise DeadlineError(f"{self._target.host} had no time to finish") from error
        except (OSError, http.client.HTTPException) as error:
            raise ModelError(f"{self._target.host} cannot be reached: {_reason(error)}") from error
        # A kept connection that the server had closed meanwhile says nothing of the server: once more.
        try:
            return self._post(sent, deadline_ns)
        except TimeoutError as error:
            raise DeadlineError(f"{self._target.host} had no time to finish") from error
        except (OSError, http.client.HTTPException) as error:
            raise ModelError(f"{self._target.host} cannot be reached: {_reason(error)}") from error

    def _post(self, sent: bytes, deadline_ns: int) -> tuple[int, bytes]:
        if self._http is None:
            self._http = self._target.connection(self._left_s(deadline_ns))
            self._http.connect()
            if self._http.sock is not None:
                with suppress(OSError):  # not every transport has it
                    self._http.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        http_ = self._http
        self._limit(http_, deadline_ns)
        http_.request("POST", self._target.path, sent, self._target.headers)
        response = http_.getresponse()
        parts: list[bytes] = []
        size = 0
        while True:
            self._limit(http_, deadline_ns)
            part = response.read1(_CHUNK)
            if not part:
                break
            parts.append(part)
            size += len(part)
            if size > MAX_ANSWER_BYTES:
                raise http.client.HTTPException(f"its answer is longer than {MAX_ANSWER_BYTES} bytes")
        response.close()  # all is read; read1 alone does not tell the connection so
        if response.will_close:
            self.close()
        return response.status, b"".join(parts)

    def _limit(self, http_: http.client.HTTPConnection, deadline_ns: int) -> None:
        if http_.sock is not None:
            http_.sock.settimeout(self._left_s(deadline_ns))

    def _left_s(self, deadline_ns: int) -> float:
        left = (deadline_ns - self._clock.now_ns()) / NS_PER_S
        if left <= 0.0:
            raise TimeoutError
        return left


def _reason(error: Exception) -> str:
    text: Any = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return str(text)
