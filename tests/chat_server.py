"""A small OpenAI-compatible server for tests: it answers as it is told and keeps what it heard."""

import json
import math
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from inspector.config import LlmServerConfig

MODEL = "seeing-9b"
Answer = Callable[[dict[str, Any]], dict[str, Any]]
"""From a request's body to the first choice of its answer."""


def opinion(p_yes: float) -> dict[str, Any]:
    """A choice whose first token is "yes" with this probability, else "no"."""

    tops = [
        {"token": word, "logprob": math.log(max(p, 1e-9))} for word, p in (("yes", p_yes), ("no", 1 - p_yes))
    ]
    return {"message": {"content": "yes"}, "logprobs": {"content": [{"token": "yes", "top_logprobs": tops}]}}


def said(text: str) -> dict[str, Any]:
    """A choice that is this text."""
    return {"message": {"content": text}, "finish_reason": "stop"}


class ChatServer:
    """Serves on a free loopback port until `close`. `requests` are the bodies, in order."""

    def __init__(self, answer: Answer, *, key: str = "", models: tuple[str, ...] = (MODEL,)) -> None:
        self.requests: list[dict[str, Any]] = []
        heard = self.requests

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1  # head and body in one packet: else each answer waits 40 ms for an acknowledgement

            def do_GET(self) -> None:  # the standard library's name
                self._send(200 if self._may() else 401, {"data": [{"id": name} for name in models]})

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                heard.append(body)
                self._send(200 if self._may() else 401, {"choices": [answer(body)]})

            def _may(self) -> bool:
                return not key or self.headers.get("Authorization") == f"Bearer {key}"

            def _send(self, status: int, value: dict[str, Any]) -> None:
                raw = json.dumps(value).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(raw)))
                self.end_headers()
                self.wfile.write(raw)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), name="chat")
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def config(self, **changes: Any) -> LlmServerConfig:
        """Return how the cell is told of this server."""
        return LlmServerConfig(**{"url": self.url, "model": MODEL, "timeout_ms": 20_000, **changes})

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)
