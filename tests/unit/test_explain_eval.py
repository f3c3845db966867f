"""The evaluation measures what it says: known causes, and a scorer that lies are not lost on."""

import json

import msgspec
import pytest
from typer.testing import CliRunner

from inspector.clock import SystemClock
from inspector.config import ExplainerConfig
from inspector.explain.eval_cases import Case, cases
from inspector.explain.eval_commands import app
from inspector.explain.eval_run import evaluate
from inspector.explain.eval_score import is_faithful, outcome
from inspector.explain.explainer import Explainer
from inspector.explain.recall import Recall
from inspector.types import Explanation


def published(case: Case) -> Explanation:
    recall = Recall(case.known)
    try:
        return Explainer(None, case.context, SystemClock(), recall=recall).template(case.record)
    finally:
        recall.close()


def test_a_seed_is_its_cases() -> None:
    assert cases(7, 20) == cases(7, 30)[:20]
    assert cases(7, 20) != cases(8, 20)


def test_the_template_alone_is_faithful_and_names_the_known_cause() -> None:
    score = evaluate(ExplainerConfig(), cases(20261, 200), SystemClock())
    assert score.faithful == 1.0
    assert score.cause >= 0.95
    assert score.action >= 0.95
    assert score.template == 1.0


@pytest.fixture
def rejected() -> tuple[Case, Explanation]:
    case = next(each for each in cases(1, 50) if len(each.named) == 2)
    return case, published(case)


def test_what_is_published_of_a_case_is_right(rejected: tuple[Case, Explanation]) -> None:
    case, explanation = rejected
    found = outcome(case, explanation, None, seconds=0.1, tokens_per_s=0.0)
    assert found.faithful
    assert found.cause
    assert found.action
    assert not found.raw_valid


@pytest.mark.parametrize("lie", [" It was at 47.113 N.", " It was near gauge_77.", " Only 98.5 % is left."])
def test_a_number_or_a_name_from_nowhere_is_not_faithful(
    rejected: tuple[Case, Explanation], lie: str
) -> None:
    case, explanation = rejected
    assert is_faithful(explanation.text, case)
    assert not is_faithful(explanation.text + lie, case)


def test_another_cause_or_action_does_not_count(rejected: tuple[Case, Explanation]) -> None:
    case, explanation = rejected
    wrong = msgspec.structs.replace(explanation, cause="bad luck", recommended_action="None.")
    found = outcome(case, wrong, '{"text": 3}', seconds=0.1, tokens_per_s=0.0)
    assert not found.cause
    assert not found.action
    assert not found.raw_valid


def test_the_command_prints_json_for_machines() -> None:
    ran = CliRunner().invoke(app, ["eval", "template", "-n", "5", "--seed", "9", "--json"])
    assert ran.exit_code == 0
    told = json.loads(ran.stdout)
    assert told["seed"] == 9
    assert told["models"][0]["model"] == "template alone"
    assert told["models"][0]["cases"] == 5
