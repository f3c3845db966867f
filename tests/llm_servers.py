"""A real OpenAI-compatible server for tests: llama.cpp's own, on a free loopback port."""

import secrets
from pathlib import Path
from typing import ClassVar

import xllamacpp

from inspector.config import LlmServerConfig


class LocalServer:
    """Serves `weights` until `close`. In this process, but spoken to by HTTP alone."""

    ports: ClassVar[set[int]] = set()

    def __init__(self, weights: Path) -> None:
        params = xllamacpp.CommonParams()
        params.model.path = str(weights)
        params.n_ctx = 2048
        params.n_parallel = 1
        params.n_batch = params.n_ubatch = 32
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
        params.cache_ram_mib = 0
        params.warmup = False
        params.fit_params = False
        params.verbosity = -1
        params.ui = False
        params.hostnames = ["127.0.0.1"]
        params.port = 0
        self.key = secrets.token_urlsafe(16)
        params.api_keys = [self.key]
        self._server = xllamacpp.Server(params)
        address = str(self._server.listening_address)
        self.port = int(address.rstrip("/").rpartition(":")[2])
        LocalServer.ports.add(self.port)
        self.config = LlmServerConfig(
            url=f"http://127.0.0.1:{self.port}/v1",
            model="smollm2",
            api_key_env="TEST_LLM_KEY",
            timeout_ms=120_000,
        )

    def close(self) -> None:
        """Stop serving."""
        del self._server
