"""The architecture of the 9 B models that sites bring, tiny and random: it loads, answers and fits."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_gguf import HEAD_DIM, KV_HEADS, LAYERS, write_glm4

from inspector.clock import NS_PER_S, SystemClock
from inspector.config import ExplainerConfig
from inspector.errors import ModelError
from inspector.explain.facts import LineContext
from inspector.explain.gguf_header import read_header
from inspector.explain.memory_plan import plan, shape_of
from inspector.explain.plan_commands import add
from inspector.explain.probe import PROBE
from inspector.explain.prompt import Turn
from inspector.explain.start import open_engine, start
from inspector.explain.weights import resolve
from inspector.types import ExplanationSource

CLOCK = SystemClock()
SCHEMA = {
    "type": "object",
    "properties": {"cause": {"enum": [1, 2]}},
    "required": ["cause"],
    "additionalProperties": False,
}


@pytest.fixture(scope="module")
def glm4(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_glm4(tmp_path_factory.mktemp("glm4") / "tiny.gguf")


def test_it_answers_in_the_schema_with_8192_tokens(glm4: Path) -> None:
    engine = open_engine(ExplainerConfig(model=str(glm4), context_tokens=8192, nice=0), CLOCK)
    try:
        asked = (Turn("system", "Facts."), Turn("user", "Cause 1 or 2?"))
        deadline_ns = CLOCK.now_ns() + 60 * NS_PER_S
        assert json.loads(engine.complete(asked, SCHEMA, deadline_ns))["cause"] in (1, 2)
        assert engine.usage.written > 0
    finally:
        engine.close()


def test_the_header_is_what_was_written(glm4: Path) -> None:
    header = read_header(glm4)
    shape = shape_of(header)
    assert header.architecture == "glm4"
    assert (shape.layers, shape.kv_heads, shape.head_dim) == (LAYERS, KV_HEADS, HEAD_DIM)
    assert shape.vocabulary == 262
    assert shape.weights_bytes == pytest.approx(os.path.getsize(glm4), rel=0.05)
    made = plan(shape, 8192, ram_bytes=1 << 30)
    assert made.cache_bytes == 2 * 2 * LAYERS * KV_HEADS * HEAD_DIM * 8192
    assert made.fits


def test_a_file_of_ones_own_is_known_by_its_name(glm4: Path, tmp_path: Path) -> None:
    path, sha256 = add(glm4, "glm-4-9b", tmp_path)
    found = resolve("glm-4-9b", tmp_path)
    assert (found.path, found.sha256) == (path, sha256)
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(ModelError, match="changed since it was added"):
        resolve("glm-4-9b", tmp_path)


def test_a_model_that_does_not_fit_its_cap_is_not_begun(glm4: Path) -> None:
    config = ExplainerConfig(model=str(glm4), context_tokens=8192, memory_mib=64)
    with pytest.raises(ModelError, match="memory_mib is 64"):
        open_engine(config, CLOCK)
    explainer = start(config, LineContext(), CLOCK)
    assert "memory_mib is 64" in explainer.fault
    assert explainer.explain(PROBE, CLOCK.now_ns() + NS_PER_S).source is ExplanationSource.TEMPLATE


def test_a_process_that_wants_more_than_its_cap_does_not_get_it() -> None:
    code = (
        "from inspector.config import ExplainerConfig\n"
        "from inspector.explain.start import cap_memory\n"
        "cap_memory(ExplainerConfig(memory_mib=1024))\n"
        "try:\n    bytearray(1 << 30)\nexcept MemoryError:\n    print('refused')\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ran.stdout == "refused\n", ran.stderr


def test_random_weights_are_caught_by_the_check(glm4: Path) -> None:
    explainer = start(ExplainerConfig(model=str(glm4), nice=0), LineContext(), CLOCK)
    try:
        explanation = explainer.explain(PROBE, CLOCK.now_ns() + 60 * NS_PER_S)
        assert explanation.source is ExplanationSource.TEMPLATE
        assert explainer.counters["refused"] + explainer.counters["failed"] > 0
    finally:
        explainer.close()


def test_the_models_threads_alone_step_back(glm4: Path) -> None:
    own = os.getpriority(os.PRIO_PROCESS, 0)
    before = {int(each.name) for each in Path("/proc/self/task").iterdir()}
    engine = open_engine(ExplainerConfig(model=str(glm4), nice=10), CLOCK)
    try:
        made = {int(each.name) for each in Path("/proc/self/task").iterdir()} - before
        assert {os.getpriority(os.PRIO_PROCESS, tid) for tid in made} == {10}
        assert os.getpriority(os.PRIO_PROCESS, 0) == own
    finally:
        engine.close()
