"""An adapter beside the weights that it was made for: llama.cpp loads it, and it changes what is written."""

import json
from pathlib import Path

import numpy as np
import pytest
from tiny_gguf import write_glm4
from tiny_llama_gguf import LAYERS, LINEARS, write_tiny

from inspector.clock import NS_PER_S, SystemClock
from inspector.config import ExplainerConfig
from inspector.errors import ConfigError, ModelError
from inspector.explain.facts import LineContext
from inspector.explain.probe import PROBE
from inspector.explain.prompt import Turn
from inspector.explain.start import open_engine, start
from inspector.explain.tune.lora_file import Lora, write_lora
from inspector.explain.weights import sha256_of

CLOCK = SystemClock()
PROMPT = (Turn("system", "Facts."), Turn("user", "Say something."))
SCHEMA = {
    "type": "object",
    "properties": {"text": {"type": "string", "minLength": 24, "maxLength": 32}},
    "required": ["text"],
    "additionalProperties": False,
}


def random_lora(seed: int = 1, rank: int = 4) -> Lora:
    rng = np.random.default_rng(seed)

    def matrix(rows: int, columns: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
        return rng.normal(0, 0.4, (rows, columns)).astype(np.float32)

    return Lora(
        alpha=8.0,
        pairs={
            f"blk.{layer}.{name}.weight": (matrix(rank, inputs), matrix(outputs, rank))
            for layer in range(LAYERS)
            for name, (outputs, inputs) in LINEARS.items()
        },
    )


@pytest.fixture(scope="module", params=["llama", "qwen2"])
def base(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny(tmp_path_factory.mktemp("base") / "tiny.gguf", request.param)


@pytest.fixture(scope="module")
def adapter(base: Path) -> Path:
    path = base.with_name("tiny.lora.gguf")
    write_lora(path, random_lora(), base, sha256_of(base), title="test")
    return path


def written(config: ExplainerConfig, root: Path = Path()) -> tuple[str, str]:
    engine = open_engine(config, CLOCK, root)
    try:
        answer = json.loads(engine.complete(PROMPT, SCHEMA, CLOCK.now_ns() + 60 * NS_PER_S))
        return str(answer["text"]), engine.model_sha256
    finally:
        engine.close()


def test_it_changes_what_is_written_and_who_is_said_to_have_written(base: Path, adapter: Path) -> None:
    alone, alone_sha256 = written(ExplainerConfig(model=str(base), nice=0))
    tuned, tuned_sha256 = written(ExplainerConfig(model=str(base), adapter=adapter, nice=0))
    again, _ = written(ExplainerConfig(model=str(base), adapter=Path(adapter.name), nice=0), adapter.parent)
    assert tuned != alone
    assert again == tuned
    assert alone_sha256 == sha256_of(base)
    assert tuned_sha256 not in (alone_sha256, sha256_of(adapter))


def test_one_of_zeros_changes_nothing(base: Path, tmp_path: Path) -> None:
    zeros = {name: (first, second * 0) for name, (first, second) in random_lora().pairs.items()}
    path = tmp_path / "zeros.lora.gguf"
    write_lora(path, Lora(8.0, zeros), base, sha256_of(base), title="test")
    alone, _ = written(ExplainerConfig(model=str(base), nice=0))
    assert written(ExplainerConfig(model=str(base), adapter=path, nice=0))[0] == alone


def test_one_that_was_made_for_other_weights_is_one_clear_line(base: Path, tmp_path: Path) -> None:
    path = tmp_path / "other.lora.gguf"
    write_lora(path, random_lora(), base, "0" * 64, title="test")
    with pytest.raises(ModelError, match="was made for weights with SHA-256 000000000000") as raised:
        open_engine(ExplainerConfig(model=str(base), adapter=path), CLOCK)
    assert "inspector explain tune" in str(raised.value)
    assert "\n" not in str(raised.value)
    explainer = start(ExplainerConfig(model=str(base), adapter=path), LineContext(), CLOCK)
    assert "was made for" in explainer.fault  # the cell runs on with the template
    assert explainer.template(PROBE).text


def test_what_is_no_adapter_or_not_whole_is_refused(base: Path, adapter: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is no LoRA adapter"):
        open_engine(ExplainerConfig(model=str(base), adapter=base), CLOCK)
    with pytest.raises(ConfigError, match="cannot be read"):
        open_engine(ExplainerConfig(model=str(base), adapter=tmp_path / "none.gguf"), CLOCK)
    cut = tmp_path / "cut.lora.gguf"
    cut.write_bytes(adapter.read_bytes()[:600])
    with pytest.raises(ConfigError, match="not a whole GGUF file"):
        open_engine(ExplainerConfig(model=str(base), adapter=cut), CLOCK)


def test_tensors_that_the_weights_do_not_have_are_a_model_error(base: Path, tmp_path: Path) -> None:
    glm4 = write_glm4(tmp_path / "glm4.gguf")
    path = tmp_path / "foreign.lora.gguf"
    write_lora(path, random_lora(), base, sha256_of(glm4), title="test")
    with pytest.raises(ModelError, match="cannot be loaded"):
        open_engine(ExplainerConfig(model=str(glm4), adapter=path, nice=0), CLOCK)
