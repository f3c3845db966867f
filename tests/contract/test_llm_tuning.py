"""Tuning for real on tiny random models: torch computes what llama.cpp computes, learns and goes on."""

import math
from pathlib import Path

import pytest
from tiny_llama_gguf import write_tiny
from typer.testing import CliRunner

from inspector.clock import NS_PER_S, SystemClock
from inspector.config import ExplainerConfig
from inspector.errors import ConfigError, ModelError
from inspector.explain.eval_commands import app
from inspector.explain.prompt import Turn
from inspector.explain.start import open_engine
from inspector.explain.tune.incidents import Example, examples, incidents
from inspector.explain.tune.lora_file import Lora, write_lora
from inspector.explain.tune.tokens import Tokenizer, Tokens, common_prefix
from inspector.explain.tune.words import TUNE_WORDS
from inspector.explain.weights import sha256_of

CLOCK = SystemClock()
ASKED = (Turn("system", "Answer."), Turn("user", "What is it?"))
CHOICES = ("0", "7", "#")  # the engine does not tell small letters from capitals


@pytest.fixture(scope="module", params=["llama", "qwen2"])
def base(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny(tmp_path_factory.mktemp("base") / "tiny.gguf", request.param)


@pytest.fixture(scope="module")
def found(base: Path) -> list[Tokens]:
    with Tokenizer(base) as tokenizer:
        return [tokenizer.tokens(each) for each in examples(incidents(1, 12, TUNE_WORDS))]


def shares(config: ExplainerConfig) -> tuple[float, ...]:
    engine = open_engine(config, CLOCK)
    try:
        return engine.choose(ASKED, CHOICES, CLOCK.now_ns() + 60 * NS_PER_S)
    finally:
        engine.close()


def test_the_tokens_are_those_of_the_template_with_the_end_of_the_turn(base: Path) -> None:
    with Tokenizer(base) as tokenizer:
        made = tokenizer.tokens(Example(ASKED, "an<|im_end|>"))
    assert made.asked[0] == 257  # <|im_start|> is one token in the prompt ...
    assert made.asked.count(257) == 3
    assert made.answered[-1] == 258
    assert 258 not in made.answered[:-1]  # ... and just signs in what is to be written


def test_the_examples_share_the_constant_part(found: list[Tokens]) -> None:
    prefix = common_prefix(found)
    assert {each.asked[:prefix] for each in found} == {found[0].asked[:prefix]}
    assert prefix > 0.5 * max(len(each.asked) for each in found)


def test_a_file_that_is_no_model_cannot_be_tuned(tmp_path: Path) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF" + bytes(1000))
    with pytest.raises((ModelError, ConfigError)):
        Tokenizer(broken)


def test_torch_computes_what_llama_cpp_computes(base: Path, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="needs torch: pip install torch (extra [train])")
    from inspector.explain.tune.network import Network  # noqa: PLC0415  (needs torch)

    network = Network(base, rank=2, alpha=4.0, device="cpu", dtype=torch.float32, seed=1)
    with Tokenizer(base) as tokenizer:
        made = [tokenizer.tokens(Example(ASKED, choice)) for choice in CHOICES]
    tokens = torch.tensor(made[0].asked)

    def ours() -> list[float]:
        with torch.no_grad():
            wanted = torch.zeros(1, len(tokens) - 3, dtype=torch.bool)
            wanted[0, -1] = True
            logits = network.logits(tokens[:3], tokens[None, 3:], wanted)[0]
        chosen = [float(logits[each.answered[0]]) for each in made]
        whole = sum(math.exp(each) for each in chosen)
        return [math.exp(each) / whole for each in chosen]

    assert ours() == pytest.approx(shares(ExplainerConfig(model=str(base), nice=0)), abs=0.02)
    noise = torch.Generator().manual_seed(2)
    for _, second in network.adapter.values():
        second.data.normal_(0, 0.1, generator=noise)
    pairs = {name: (a.detach().numpy(), b.detach().numpy()) for name, (a, b) in network.adapter.items()}
    path = tmp_path / "made.lora.gguf"
    write_lora(path, Lora(4.0, pairs), base, sha256_of(base), title="test")
    tuned = shares(ExplainerConfig(model=str(base), adapter=path, nice=0))
    assert ours() == pytest.approx(tuned, abs=0.03)
    assert ours() != pytest.approx(shares(ExplainerConfig(model=str(base), nice=0)), abs=0.05)


def test_what_is_stopped_goes_on_and_ends_where_it_would_have(base: Path, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="needs torch: pip install torch (extra [train])")
    from inspector.explain.tune.fit import FitOptions, fit  # noqa: PLC0415  (needs torch)

    found = [Tokens((*range(9), 20 + each), (70, 80 + each, 71)) for each in range(12)]
    options = FitOptions(rank=4, batch=4, passes=2, rate=5e-3, threads=1)
    losses: list[float] = []
    whole = fit(base, found, options=options, checkpoint=tmp_path / "a.pt", about="x",
                told=lambda _done, _steps, loss: losses.append(loss))  # fmt: skip
    assert losses[-1] < losses[0]

    def stop(done: int, _steps: int, _loss: float) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(base, found, options=options, checkpoint=tmp_path / "b.pt", about="x", told=stop)
    steps: list[int] = []
    resumed = fit(base, found, options=options, checkpoint=tmp_path / "b.pt", about="x",
                  told=lambda done, _steps, _loss: steps.append(done))  # fmt: skip
    assert steps[0] == 3
    for name, pair in whole.pairs.items():
        for one, other in zip(pair, resumed.pairs[name], strict=True):
            assert torch.allclose(torch.from_numpy(one), torch.from_numpy(other), atol=1e-5)
    (tmp_path / "b.pt").write_bytes(b"nonsense")
    with pytest.raises(ConfigError, match="no checkpoint of a tuning"):
        fit(base, found, options=options, checkpoint=tmp_path / "b.pt", about="x")


def test_the_whole_command_measures_and_refuses_what_is_no_better(base: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="needs torch: pip install torch (extra [train])")
    out = tmp_path / "made.lora.gguf"
    asked = ["tune", str(base), "--out", str(out), "-n", "16", "--measure", "2", "--threads", "1"]
    first = CliRunner().invoke(app, asked)
    assert first.exit_code == 1, first.output
    assert "2 incidents that were not learned" in first.output
    assert "Not kept: it is right where the model alone is not 0 times" in " ".join(first.output.split())
    assert not out.exists()
    candidate = tmp_path / f".{out.name}.tuning" / "candidate.gguf"
    before = candidate.stat().st_mtime_ns
    again = CliRunner().invoke(app, asked)  # what is finished is not done again
    assert again.exit_code == 1
    assert candidate.stat().st_mtime_ns == before
