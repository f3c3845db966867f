"""Text to tokens, as llama.cpp itself makes them: what is learned is then exactly what is asked later.

xllamacpp has no call for it, but its server has (`/apply-template` and `/tokenize`, read in llama.cpp's
tools/server/README.md); it listens on a Unix socket in a private folder, with a key.
"""

import http.client
import json
import os
import secrets
import socket
import tempfile
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import xllamacpp

from inspector.errors import ModelError
from inspector.explain.gguf_header import read_header
from inspector.explain.server_messages import message
from inspector.explain.tune.incidents import Example

_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class Tokens:
    """One example: what is read, and what should be written, with the end of the turn."""

    asked: tuple[int, ...]
    answered: tuple[int, ...]


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=_TIMEOUT_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(_TIMEOUT_S)
        self.sock.connect(self._path)


class Tokenizer:
    """The tokenizer and the chat template of a GGUF file. For one thread; use it in a `with`.

    Raises ModelError when the file cannot be loaded.
    """

    def __init__(self, weights: Path) -> None:
        values = read_header(weights).values
        self._end = int(values.get("tokenizer.ggml.eos_token_id", -1))
        if self._end < 0 or "tokenizer.chat_template" not in values:
            raise ModelError(f"{weights} has no chat template and end token: it is no model that answers")
        self._folder = tempfile.TemporaryDirectory(prefix="inspector-tok-")
        path = os.path.join(self._folder.name, "t.sock")  # the ending tells llama.cpp what it is
        self._key = secrets.token_urlsafe(32)
        params = xllamacpp.CommonParams()
        params.model.path = str(weights)
        params.load_mode = xllamacpp.llama_load_mode.LLAMA_LOAD_MODE_MMAP
        params.no_extra_bufts = True
        params.n_ctx = 512
        params.n_parallel = 1
        params.warmup = params.fit_params = params.ui = params.endpoint_slots = False
        params.cache_ram_mib = 0
        params.verbosity = -1
        params.n_threads_http = 1
        params.api_keys = [self._key]
        params.hostnames = [path]
        try:
            self._server = xllamacpp.Server(params)
        except RuntimeError as error:
            self._folder.cleanup()
            raise ModelError(f"{weights} cannot be loaded as a GGUF language model") from error
        self._connection = _Connection(path)

    def __enter__(self) -> "Tokenizer":
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._connection.close()
        del self._server
        self._folder.cleanup()

    def tokens(self, example: Example) -> Tokens:
        """Return the tokens of an example. Raises ModelError when the model's template refuses it."""
        turns = [message(turn, images=False) for turn in example.prompt]
        asked = self._post("/apply-template", {"messages": turns})["prompt"]
        return Tokens(
            asked=self._tokens(asked, special=True), answered=(*self._tokens(example.answer), self._end)
        )

    def _tokens(self, text: str, *, special: bool = False) -> tuple[int, ...]:
        body = {"content": text, "add_special": special, "parse_special": special}
        return tuple(int(token) for token in self._post("/tokenize", body)["tokens"])

    def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self._key}"}
        try:
            self._connection.request("POST", path, json.dumps(body), headers)
            response = self._connection.getresponse()
            answer = json.loads(response.read())
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise ModelError(f"llama.cpp does not answer {path}: {error}") from error
        if response.status != http.client.OK:
            raise ModelError(f"llama.cpp refuses {path}: {answer}")
        found: dict[str, Any] = answer
        return found


def common_prefix(found: list[Tokens]) -> int:
    """Return how many tokens all of the prompts begin with: the examples and the system's words."""
    shortest = min(found, key=lambda each: len(each.asked)).asked
    length = len(shortest) - 1
    for each in found:
        while shortest[:length] != each.asked[:length]:
            length -= 1
    return length
