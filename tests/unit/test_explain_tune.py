"""What a model is tuned on, whether an adapter earns its place, and the file that it comes in."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import gguf
import numpy as np
import pytest
from tiny_llama_gguf import LAYERS, LINEARS, write_tiny
from typer.testing import CliRunner

from inspector.config import LimitRule, SensorConfig
from inspector.errors import ConfigError
from inspector.explain.adapter import resolve_adapter
from inspector.explain.causes import rank_causes
from inspector.explain.check import check
from inspector.explain.eval_cases import cases
from inspector.explain.eval_commands import app
from inspector.explain.eval_score import Outcome, is_faithful, score
from inspector.explain.eval_words import EVAL_WORDS
from inspector.explain.facts import CameraView, LineContext
from inspector.explain.gather import gather
from inspector.explain.gguf_header import read_header
from inspector.explain.grammar import schema_for
from inspector.explain.knowledge import Known
from inspector.explain.prompt import build
from inspector.explain.tune.answer import answer
from inspector.explain.tune.command import site_names
from inspector.explain.tune.corpus import SiteNames, corpus
from inspector.explain.tune.gate import Measured, chance_of, load_measured, refusal, save_measured
from inspector.explain.tune.incidents import combinations, examples, incidents, is_held_out
from inspector.explain.tune.lora_file import MAX_BYTES, Lora, check_size, write_lora
from inspector.explain.tune.site_words import confirmed, kinds_of, labels_in
from inspector.explain.tune.words import TUNE_WORDS
from inspector.explain.weights import LocalModel
from inspector.explain.weights_table import TABLE

RIGHT = Outcome(True, True, True, True, True, True, True, 1.0, 10.0)
WRONG = replace(RIGHT, raw_cause=False, model_wrote=False)


# -- what is learned -----------------------------------------------------------------------------


def test_every_answer_passes_the_check_and_says_what_matters() -> None:
    for case in cases(11, 150):
        facts = gather(case.record, case.context)
        causes = rank_causes(facts)
        said = answer(facts, causes)
        assert check(said, facts, causes)
        text = json.loads(said)["text"]
        assert is_faithful(text, case)
        assert all(name in text for name in case.named)


def test_richer_incidents_have_answers_too_and_prompts_are_those_of_the_cell() -> None:
    found = incidents(3, 200, TUNE_WORDS)
    made = examples(found)
    assert len(made) == len(found)
    for (record, context), example in zip(found, made, strict=True):
        facts = gather(record, context)
        assert example.prompt == build(facts, rank_causes(facts))
        answered = json.loads(example.answer)
        properties = schema_for(facts, rank_causes(facts))["properties"]
        assert set(answered) == set(properties)
        assert len(answered["text"]) <= properties["text"]["maxLength"]
    assert any(" found " in each.answer and each.answer.count(" and ") for each in made)
    assert any("located no defect" in each.answer for each in made)


def test_an_answer_in_exact_words() -> None:
    case = next(each for each in cases(2026, 200) if len(each.named) == 2)
    facts = gather(case.record, case.context)
    label, sensor = case.named
    text = json.loads(answer(facts, rank_causes(facts)))["text"]
    assert text.startswith(f"Part {case.record.verdict.part_id} was rejected because ")
    assert f" found {label} at the " in text
    assert f" while {sensor} was at " in text
    assert " limit of " in text


def test_the_same_seed_is_the_same_corpus_and_another_is_another() -> None:
    assert corpus(20, 5, 1, None).digest == corpus(20, 5, 1, None).digest
    assert corpus(20, 5, 1, None).digest != corpus(20, 5, 2, None).digest


def test_nothing_that_is_measured_was_learned() -> None:
    made = corpus(300, 100, 1, None)
    learned = set().union(*(combinations(record) for record, _ in made.learn))
    asked = set().union(*(combinations(case.record) for case in made.measure))
    assert learned & asked == {("", "")}  # nothing located, nothing abnormal
    assert not {kind.name for kind in TUNE_WORDS.sensors} & {kind.name for kind in EVAL_WORDS.sensors}


# -- a site's own --------------------------------------------------------------------------------


def site() -> SiteNames:
    sensors = [
        SensorConfig(id=f"st{n}.force", kind=f"force{n}", unit="N", min_value=0, max_value=100,
                     rule=LimitRule(warn_low=20.0 + n, alarm_low=10.0 + n))
        for n in range(6)
    ]  # fmt: skip
    words = replace(
        TUNE_WORDS,
        sensors=tuple(kind for sensor in sensors for kind in kinds_of(sensor)),
        labels=("scratch", "bent_lug", "rust", "missing_clip"),
        cameras=("cam_a",),
    )
    known = (
        Known("incidents.csv line 2", "bent lug; st3.force too low", "worn pad", "change it", True),
        Known("incidents.csv line 3", "the night shift said it was loud", "unknown", "", True),
        Known("fmea.csv line 2", "rust", "coolant", "change it", False),
    )
    return SiteNames(words, known, LineContext(cameras={"cam_a": CameraView(640, 480)}))


def test_a_sites_incidents_are_learned_and_its_held_out_combinations_measured() -> None:
    made = corpus(200, 40, 1, site())
    own = [record for record, context in made.learn if "cam_a" in context.cameras]
    assert len(own) >= 60
    assert not any(
        map(is_held_out, set().union(*(combinations(each) for each in own)) - {("bent_lug", "force3")})
    )
    asked = [case for case in made.measure if "cam_a" in case.context.cameras]
    assert len(asked) == 20
    assert all(is_held_out(each) for case in asked for each in combinations(case.record))
    assert len(made.measure) == 40


def test_a_confirmed_incident_is_learned_with_what_it_names() -> None:
    names = site()
    found = confirmed(names.known, names.words, names.context, 1)
    assert found
    assert {each for record, _ in found for each in combinations(record)} == {("bent_lug", "force3")}
    values = {event.value for record, _ in found for event in record.evidence.events if event.abnormal}
    assert len(values) > 1  # other figures each time
    assert len(examples(found)) == len(found)


def test_limits_become_kinds_of_sensors() -> None:
    def kinds(rule: LimitRule | None) -> list[tuple[float, float, float]]:
        sensor = SensorConfig(id="s", kind="k", unit="N", min_value=0, max_value=50, rule=rule)
        return [(kind.normal, kind.warn, kind.alarm) for kind in kinds_of(sensor)]

    assert kinds(LimitRule(warn_high=40.0, alarm_high=45.0)) == [(30.0, 40.0, 45.0)]
    assert kinds(LimitRule(warn_low=20.0, alarm_low=1.0)) == [(50.0, 20.0, 1.0)]  # not past what it can read
    assert kinds(LimitRule(warn_rate=1.0, alarm_rate=2.0)) == []
    assert kinds(None) == []


def test_the_demonstration_cell_can_be_learned() -> None:
    names = site_names(Path(__file__).parents[2] / "deploy/demo/site.yaml")
    assert {"vibration1", "temperature1", "gripper1"} <= {kind.id for kind in names.words.sensors}
    assert len({kind.name for kind in names.words.sensors}) == len(names.words.sensors) == 4
    assert names.words.labels[0] == "anomaly"
    made = corpus(40, 8, 1, names)
    assert len(examples(made.learn)) == len(made.learn) == 40
    assert len(made.measure) == 8


def test_labels_come_from_the_models_manifest(tmp_path: Path) -> None:
    (tmp_path / "manifest.yaml").write_text("labels: [dent, 7]\n")
    assert labels_in(tmp_path) == ("dent", "7")
    (tmp_path / "manifest.yaml").write_text("labels: [dent\n")
    with pytest.raises(ConfigError, match="cannot be read"):
        labels_in(tmp_path)


# -- whether it earns its place ------------------------------------------------------------------


def measured(outcomes: list[Outcome]) -> Measured:
    return Measured(score("m", outcomes), tuple(outcomes))


def test_an_adapter_that_wins_often_enough_is_kept() -> None:
    assert refusal(measured([WRONG] * 10), measured([RIGHT] * 5 + [WRONG] * 5)) == ""


def test_one_that_is_no_better_than_chance_is_refused_and_it_says_why() -> None:
    before = measured([WRONG] * 3 + [RIGHT] * 7)
    assert "3 times, and the other way round 1 times" in refusal(before, measured([RIGHT] * 9 + [WRONG]))
    assert refusal(before, before).startswith("it is right where the model alone is not 0 times")


def test_one_that_makes_what_operators_read_worse_is_refused() -> None:
    worse = measured([replace(RIGHT, faithful=False), *[RIGHT] * 39])
    assert refusal(measured([WRONG] * 40), worse) == "published faithful texts fell from 100.0% to 97.5%"


@pytest.mark.parametrize(("won", "of", "chance"), [(5, 5, 1 / 32), (4, 5, 6 / 32), (0, 0, 1.0), (0, 9, 1.0)])
def test_the_sign_test(won: int, of: int, chance: float) -> None:
    assert chance_of(won, of) == pytest.approx(chance)
    assert chance_of(10_000, 10_000) == pytest.approx(0.0)


def test_what_was_measured_is_kept_for_the_same_tuning_only(tmp_path: Path) -> None:
    path, found = tmp_path / "before.json", measured([RIGHT, WRONG])
    assert load_measured(path, "a") is None
    save_measured(path, "a", found)
    assert load_measured(path, "a") == found
    assert load_measured(path, "b") is None
    path.write_text("{")
    assert load_measured(path, "a") is None


# -- the file ------------------------------------------------------------------------------------


def test_the_file_is_what_llama_cpp_reads_and_names_its_base(tmp_path: Path) -> None:
    base, path = write_tiny(tmp_path / "base.gguf", "qwen2"), tmp_path / "made.lora.gguf"
    first, second = np.ones((2, 64), np.float32), np.full((128, 2), 0.5, np.float32)
    write_lora(path, Lora(4.0, {"blk.0.ffn_up.weight": (first, second)}), base, "ab" * 32, title="t")
    reader = gguf.GGUFReader(path)
    values = {name: field.contents() for name, field in reader.fields.items()}
    assert values["general.type"] == "adapter"
    assert values["general.architecture"] == "qwen2"
    assert values["adapter.type"] == "lora"
    assert values["adapter.lora.alpha"] == 4.0
    assert values["inspector.base.sha256"] == "ab" * 32
    shapes = {tensor.name: tuple(map(int, reversed(tensor.shape))) for tensor in reader.tensors}
    assert shapes == {"blk.0.ffn_up.weight.lora_a": (2, 64), "blk.0.ffn_up.weight.lora_b": (128, 2)}
    assert [path.name for path in tmp_path.glob("*.partial")] == []


def test_a_rank_that_makes_the_file_too_large_is_refused_before_anything_is_learned(tmp_path: Path) -> None:
    base = write_tiny(tmp_path / "base.gguf", "llama")
    check_size(base, 64)
    one = sum(2 * (outputs + inputs) for outputs, inputs in LINEARS.values()) * LAYERS
    with pytest.raises(ConfigError, match=f"take {MAX_BYTES // one}"):
        check_size(base, MAX_BYTES // one + 1)


def test_without_torch_the_command_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(sys.modules, "inspector.explain.tune.fit", raising=False)
    monkeypatch.delitem(sys.modules, "inspector.explain.tune.network", raising=False)
    base = write_tiny(tmp_path / "base.gguf", "llama")
    ran = CliRunner().invoke(app, ["tune", str(base), "--out", str(tmp_path / "x.gguf"), "-n", "16"])
    assert isinstance(ran.exception, ConfigError)
    assert "pip install" in str(ran.exception)
    assert not (tmp_path / "x.gguf").exists()


def test_the_help_has_examples() -> None:
    ran = CliRunner().invoke(app, ["tune", "--help"])
    assert "inspector explain tune smollm2-135m --out" in ran.output


def test_the_adapter_that_ships_is_for_the_small_weights() -> None:
    path = Path(__file__).parents[2] / "models/language/smollm2-135m.lora.gguf"
    base = LocalModel(path=Path("smollm2-135m.gguf"), sha256=TABLE["smollm2-135m"].sha256)
    assert resolve_adapter(path, base, "smollm2-135m").model_sha256 != base.sha256
    assert path.stat().st_size < MAX_BYTES
    header = read_header(path)
    assert header.architecture == "llama"
    assert len(header.tensors) == 2 * 7 * 30
