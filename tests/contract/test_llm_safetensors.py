"""Folders of safetensors: the GLM-4 family, tiny and random, loads, answers and keeps its deadline."""

import json
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tiny_gguf import byte_tokens

from inspector.clock import NS_PER_S, SystemClock
from inspector.config import ExplainerConfig
from inspector.errors import ConfigError, ModelError
from inspector.explain.engine import DeadlineError, Engine, PreemptedError
from inspector.explain.facts import LineContext
from inspector.explain.probe import PROBE
from inspector.explain.prompt import Turn
from inspector.explain.site_check import check_explainer
from inspector.explain.start import open_engine, start
from inspector.types import ExplanationSource

CLOCK = SystemClock()
SPECIAL = ("<|endoftext|>", "[gMASK]", "<sop>", "<|system|>", "<|user|>", "<|assistant|>")
TEMPLATE = (
    "[gMASK]<sop>{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)
PROMPT = (Turn("system", "Facts of the line. " * 8), Turn("user", "Cause 1 or 2?"))
SCHEMA = {
    "type": "object",
    "properties": {"cause": {"enum": [1, 2]}, "text": {"type": "string", "pattern": "^(a|b){3,9}$"}},
    "required": ["cause", "text"],
    "additionalProperties": False,
}
SHAPE: dict[str, Any] = {
    "vocab_size": 262,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": 8192,
    "pad_token_id": 256,
    "eos_token_id": [256, 260],
}


def write_model(folder: Path, family: str) -> Path:
    """GLM-4-9B is `glm`, GLM-4-9B-0414 `glm4`, GLM-4.1V-9B and AutoGLM-Phone-9B are `glm4v`."""
    transformers = pytest.importorskip("transformers", reason="needs transformers (extra [llm])")
    torch = pytest.importorskip("torch", reason="needs torch (extra [llm])")
    pytest.importorskip("llguidance", reason="needs llguidance (extra [llm])")
    pytest.importorskip("accelerate", reason="needs accelerate (extra [llm])")
    import tokenizers  # noqa: PLC0415  (comes with transformers)

    torch.manual_seed(3)
    if family == "glm":
        model = transformers.GlmForCausalLM(transformers.GlmConfig(**SHAPE))
    elif family == "glm4":
        model = transformers.Glm4ForCausalLM(transformers.Glm4Config(**SHAPE))
    else:
        seen = {"depth": 1, "hidden_size": 32, "num_heads": 2, "out_hidden_size": 64, "intermediate_size": 64}
        rotated = {"rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [2, 3, 3]}}
        config = transformers.Glm4vConfig(
            text_config={**SHAPE, **rotated},
            vision_config=seen,
            image_token_id=1,
            video_token_id=2,
        )
        model = transformers.Glm4vForConditionalGeneration(config)
    model.generation_config.eos_token_id = SHAPE["eos_token_id"]
    model.save_pretrained(folder)
    words = {token: number for number, token in enumerate((*byte_tokens(), *SPECIAL))}
    plain = tokenizers.Tokenizer(tokenizers.models.BPE(vocab=words, merges=[]))
    plain.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    plain.decoder = tokenizers.decoders.ByteLevel()
    plain.add_special_tokens(list(SPECIAL))
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=plain, eos_token=SPECIAL[0])
    fast.chat_template = TEMPLATE
    fast.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module", params=["glm", "glm4", "glm4v"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("model"), request.param)


@pytest.fixture(scope="module")
def engine(folder: Path) -> Iterator[Engine]:
    made = open_engine(ExplainerConfig(model=str(folder), context_tokens=8192), CLOCK)
    yield made
    made.close()


def in_s(seconds: float) -> int:
    return CLOCK.now_ns() + int(seconds * NS_PER_S)


def test_it_answers_in_the_schema_and_reads_what_it_knows_once(engine: Engine) -> None:
    answer = engine.complete(PROMPT, SCHEMA, in_s(60))
    parsed = json.loads(answer)
    assert parsed["cause"] in (1, 2)
    assert set(parsed["text"]) <= {"a", "b"}
    assert answer == json.dumps(parsed, separators=(",", ":"))
    first = engine.usage
    assert first.written > 0
    other = (PROMPT[0], Turn("user", "Cause 2 or 1?"))
    engine.complete(other, SCHEMA, in_s(60))
    assert engine.usage.cached > engine.usage.read > 0
    assert engine.complete(PROMPT, SCHEMA, in_s(60)) == answer  # the cache changes nothing


def test_a_choice_has_probabilities(engine: Engine) -> None:
    shares = engine.choose(PROMPT, ("0", "7", "#"), in_s(60))
    assert sum(shares) == pytest.approx(1.0)
    assert all(0.0 < share < 1.0 for share in shares)


def test_late_and_interrupted_calls_say_so_and_the_engine_stays_usable(engine: Engine) -> None:
    with pytest.raises(DeadlineError):
        engine.complete(PROMPT, SCHEMA, CLOCK.now_ns() - 1)
    engine.interrupt()  # nothing is at work: the next call is not hit
    assert json.loads(engine.complete(PROMPT, SCHEMA, in_s(60)))
    long = (Turn("user", "Say something else. " * 300),)
    ended: list[BaseException] = []

    def ask() -> None:
        try:
            while not ended:
                engine.complete((*long, Turn("user", str(CLOCK.now_ns()))), SCHEMA, in_s(60))
        except PreemptedError as error:
            ended.append(error)

    asking = threading.Thread(target=ask)
    asking.start()
    while asking.is_alive():
        engine.interrupt()
        asking.join(0.05)
    assert ended
    assert json.loads(engine.complete(PROMPT, SCHEMA, in_s(60)))


def test_too_long_a_prompt_is_refused(engine: Engine) -> None:
    with pytest.raises(ModelError, match=r"refused.*context_tokens"):
        engine.complete((Turn("user", "word " * 3000),), SCHEMA, in_s(60))


def test_random_weights_are_caught_by_the_check_and_a_closed_engine_refuses(folder: Path) -> None:
    explainer = start(ExplainerConfig(model=str(folder), context_tokens=8192), LineContext(), CLOCK)
    explanation = explainer.explain(PROBE, in_s(120))
    assert explanation.source is ExplanationSource.TEMPLATE
    assert explainer.counters["refused"] + explainer.counters["failed"] > 0
    assert explainer.engine is not None
    explainer.close()
    explainer.close()
    with pytest.raises(ModelError, match="closed"):
        explainer.engine.complete(PROMPT, SCHEMA, in_s(5))


def test_a_damaged_folder_is_a_model_error(folder: Path, tmp_path: Path) -> None:
    for path in folder.iterdir():
        cut = path.read_bytes()
        (tmp_path / path.name).write_bytes(cut[:100] if path.suffix == ".safetensors" else cut)
    with pytest.raises(ModelError, match="cannot be loaded as a safetensors"):
        open_engine(ExplainerConfig(model=str(tmp_path)), CLOCK)


def test_without_the_libraries_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    monkeypatch.delitem(sys.modules, "inspector.explain.transformers_engine", raising=False)
    with pytest.raises(ConfigError, match=r"pip install 'inspector-cell\[llm\]'"):
        open_engine(ExplainerConfig(model=str(tmp_path)), CLOCK)
    explainer = start(ExplainerConfig(model=str(tmp_path)), LineContext(), CLOCK)
    assert "folder of safetensors" in explainer.fault
    with pytest.raises(ConfigError, match="go with a GGUF file"):
        open_engine(ExplainerConfig(model=str(tmp_path), adapter=Path("x.gguf")), CLOCK)


def test_the_check_of_a_site_knows_a_folder_by_what_lies_in_it(tmp_path: Path) -> None:
    config = ExplainerConfig(model=str(tmp_path))
    assert [good for good, _ in check_explainer(config, tmp_path)] == [False]
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(b"")
    assert list(check_explainer(config, tmp_path)) == [(True, f"explainer: {tmp_path}")]
