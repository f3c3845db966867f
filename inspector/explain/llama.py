"""llama.cpp inside this process, through xllamacpp (decision record 006).

What the package does that one would not expect, as read in its `server.cpp` and seen with 2026.10:
it always starts an HTTP server; loading holds the interpreter's lock; a request is given up only
between two pieces of work, when a streaming callback returns True; and a grammar that it cannot
parse may be ignored without a word, which is why `check` looks at every answer.

So the HTTP server gets a Unix socket in a private folder, unlinked as soon as it listens, and a
random key; one thread of ours owns the model; prompts are computed in small batches; and
`complete` leaves at its deadline without waiting for the piece at work.
"""

import contextlib
import json
import os
import queue
import secrets
import socket
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import xllamacpp

from inspector.clock import NS_PER_S, Clock
from inspector.errors import ModelError
from inspector.explain.engine import DeadlineError, PreemptedError, Schema, Usage
from inspector.explain.prompt import Prompt
from inspector.explain.server_messages import message, shares_of

BATCH_TOKENS = 32
"""Prompt tokens between two looks at the deadline: about one second of one core with 1.5 B weights."""

_TOP_TOKENS = 1000
"""Enough for a choice that the model holds for most unlikely."""
_CLOSE_TIMEOUT_S = 10.0
_SERVES_WITHIN_S = 30.0
_MAX_SOCKET_PATH = 100  # sun_path of unix(7) holds 108 bytes


@dataclass(slots=True)
class _Request:
    body: dict[str, Any]
    deadline_ns: int
    done: threading.Event = field(default_factory=threading.Event)
    cancelled: bool = False
    preempted: bool = False
    top_tokens: list[dict[str, Any]] = field(default_factory=list)
    pieces: list[str] = field(default_factory=list)
    finish: str = ""
    error: str = ""
    usage: Usage = field(default_factory=Usage)


class LlamaEngine:
    """A GGUF model on the CPU. Callable from any thread, one call at a time.

    `nice` is that of the model's threads alone. Raises ModelError when the file cannot be loaded.
    """

    def __init__(
        self,
        weights: Path,
        model_sha256: str,
        clock: Clock,
        *,
        threads: int = 1,
        nice: int = 10,
        context_tokens: int = 2048,
        max_tokens: int = 160,
        gpu_layers: int = 0,
        mmproj: Path | None = None,
        adapter: Path | None = None,
    ) -> None:
        self._weights = weights
        self._model_sha256 = model_sha256
        self._clock = clock
        self._threads = threads
        self._nice = nice
        self._context_tokens = context_tokens
        self._max_tokens = max_tokens
        self._gpu_layers = gpu_layers
        self._mmproj = mmproj
        self._adapter = adapter
        self._requests: queue.SimpleQueue[_Request | None] = queue.SimpleQueue()
        self._current: _Request | None = None
        self._one_caller = threading.Lock()
        self._loaded = threading.Event()
        self._load_error: Exception | None = None
        self._closed = False
        self._usage = Usage()
        self._thread = threading.Thread(target=self._run, name="language-model", daemon=True)
        self._thread.start()
        self._loaded.wait()
        if self._load_error is not None:
            what, how = str(weights), "get a good one with `inspector models pull`"
            if adapter is not None:
                what, how = f"{weights} with the adapter {adapter}", "try it without the adapter"
            raise ModelError(f"{what} cannot be loaded as a GGUF language model; {how}") from self._load_error

    @property
    def model_sha256(self) -> str:
        return self._model_sha256

    @property
    def usage(self) -> Usage:
        return self._usage

    def complete(self, prompt: Prompt, schema: Schema, deadline_ns: int) -> str:
        """Return an answer in `schema`, greedy. See `Engine.complete`."""
        request = self._ask(self._body(prompt, schema), deadline_ns)
        if request.finish != "stop":
            raise ModelError(f"the answer is longer than {self._max_tokens} tokens (max_tokens)")
        return "".join(request.pieces)

    def choose(self, prompt: Prompt, choices: tuple[str, ...], deadline_ns: int) -> tuple[float, ...]:
        """Return the choices' shares of the first token's probability. See `Engine.choose`.

        Not through a grammar: llama.cpp applies one only when the token that it has drawn breaks it,
        so that the probabilities it reports would depend on the draw.
        """
        body = {
            **_messages(prompt, sees=self._mmproj is not None),
            "max_tokens": 1,
            "temperature": 0,
            "logprobs": True,
            "top_logprobs": _TOP_TOKENS,
        }
        try:
            return shares_of(self._ask(body, deadline_ns).top_tokens, choices)
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise ModelError(f"the language model has no token for any of {', '.join(choices)}") from error

    def interrupt(self) -> None:
        current = self._current
        if current is not None:
            current.preempted = True

    def _ask(self, body: dict[str, Any], deadline_ns: int) -> _Request:
        with self._one_caller:
            if self._closed or not self._thread.is_alive():
                raise ModelError("the language model is closed")
            request = _Request(body=body, deadline_ns=deadline_ns)
            self._current = request
            self._requests.put(request)
            in_time = request.done.wait(max(0, deadline_ns - self._clock.now_ns()) / NS_PER_S)
            request.cancelled = True
            self._current = None
            self._usage = request.usage
        if request.preempted and (not in_time or request.finish == "cancelled"):
            raise PreemptedError("the language model was needed for something else")
        if not in_time or request.finish == "cancelled":
            raise DeadlineError("the language model had no time to finish")
        if request.error:
            raise ModelError(f"the language model refused the request: {request.error}")
        return request

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        current = self._current
        if current is not None:
            current.cancelled = True
        self._requests.put(None)
        self._thread.join(_CLOSE_TIMEOUT_S)

    def _body(self, prompt: Prompt, schema: Schema) -> dict[str, Any]:
        # llguidance writes no white space between tokens of JSON when told so; plain json_schema
        # leaves it free, and a small model spends its tokens on line ends.
        compact = {**schema, "x-guidance": {"whitespace_flexible": False}}
        return {
            **_messages(prompt, sees=self._mmproj is not None),
            "grammar": f"%llguidance {{}}\nstart: %json {json.dumps(compact)}",
            "max_tokens": self._max_tokens,
            "temperature": 0,
        }

    # -- the model's own thread ----------------------------------------------------------------

    def _run(self) -> None:
        # On Linux niceness belongs to the thread, and threads started from here inherit it.
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), self._nice)
        # Not SCHED_IDLE: starved while it has the interpreter's lock (loading, a callback), this thread
        # would hold up the whole service; seen as a stall of minutes on a machine with a load of 13.
        try:
            server = self._load()
        except (RuntimeError, OSError, ModelError) as error:
            self._load_error = error
            return
        finally:
            self._loaded.set()
        while (request := self._requests.get()) is not None:
            self._serve(server, request)
        del server  # its destructor ends llama.cpp's threads

    def _load(self) -> xllamacpp.Server:
        params = xllamacpp.CommonParams()
        params.model.path = str(self._weights)
        params.load_mode = xllamacpp.llama_load_mode.LLAMA_LOAD_MODE_MMAP
        params.no_extra_bufts = True  # repacked weights cost 0.6 GB more, measured with 1.5 B
        params.n_ctx = self._context_tokens
        params.n_parallel = 1
        params.n_gpu_layers = self._gpu_layers
        if self._mmproj is not None:
            params.mmproj.path = str(self._mmproj)
            params.mmproj_use_gpu = self._gpu_layers > 0
        if self._adapter is not None:
            params.lora_adapters = [xllamacpp.CommonAdapterLoraInfo(str(self._adapter), 1.0)]
        params.n_batch = params.n_ubatch = BATCH_TOKENS
        params.cpuparams.n_threads = self._threads
        params.cpuparams_batch.n_threads = self._threads
        params.cpuparams.poll = 0  # sleep, do not spin, between pieces of work
        params.cpuparams_batch.poll = 0
        params.cache_ram_mib = 0  # one slot keeps the constant prompt; no second copy
        params.n_ctx_checkpoints = 0
        params.fit_params = False
        params.warmup = False  # the first answer warms it up
        params.verbosity = -1
        params.ui = False
        params.endpoint_slots = False
        params.n_threads_http = 1
        params.api_keys = [secrets.token_urlsafe(32)]
        with tempfile.TemporaryDirectory(prefix="inspector-llm-") as folder:
            path = os.path.join(folder, "llm.sock")
            if len(path) > _MAX_SOCKET_PATH:
                raise ModelError(f"{folder} is too long for a socket; set TMPDIR to a shorter one")
            params.hostnames = [path]
            server = xllamacpp.Server(params)
            _wait_until_it_serves(path)
            return server

    def _serve(self, server: xllamacpp.Server, request: _Request) -> None:
        def on_chunk(chunk: dict[str, Any]) -> bool:
            if "error" in chunk:
                request.error = str(chunk["error"].get("message", "unknown error"))
            if "timings" in chunk:
                took = chunk["timings"]
                request.usage = Usage(
                    read=took.get("prompt_n", 0),
                    cached=took.get("cache_n", 0),
                    written=took.get("predicted_n", 0),
                )
            for choice in chunk.get("choices", ()):
                request.pieces.append(choice["delta"].get("content") or "")
                request.finish = choice["finish_reason"] or request.finish
                for token in (choice.get("logprobs") or {}).get("content") or ():
                    request.top_tokens += token.get("top_logprobs") or ()
            if request.cancelled or request.preempted or self._clock.now_ns() >= request.deadline_ns:
                request.finish = request.finish or "cancelled"
                return True
            return False

        if not request.cancelled:
            try:
                server.handle_chat_completions(request.body, on_chunk)
            except (RuntimeError, ValueError) as error:  # what Cython makes of C++ exceptions
                request.error = str(error)
        request.done.set()


def _messages(prompt: Prompt, *, sees: bool) -> dict[str, Any]:
    return {
        "messages": [message(turn, images=sees) for turn in prompt],
        "cache_prompt": True,
        "stream": True,
        "return_progress": True,  # a callback after each batch of the prompt
    }


def _wait_until_it_serves(path: str) -> None:
    """Until llama.cpp's HTTP thread answers: a server that is closed before that waits for it for ever, and
    holds the interpreter's lock. Nobody else uses that way in. Raises RuntimeError when it takes too long.
    """
    give_up_s = time.monotonic() + _SERVES_WITHIN_S
    while time.monotonic() < give_up_s:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(1.0)
            with contextlib.suppress(OSError):  # not there yet
                connection.connect(path)
                connection.sendall(b"GET /health HTTP/1.0\r\n\r\n")
                if connection.recv(1):
                    return
        time.sleep(0.01)
    raise RuntimeError(f"the language model's server did not answer within {_SERVES_WITHIN_S} s")
