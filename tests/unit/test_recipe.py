"""What a recipe changes of a site, and mistakes in the list of recipes."""

from pathlib import Path

import pytest

from inspector.config import Failsafe
from inspector.config_load import load_site
from inspector.errors import ConfigError
from inspector.recipe import apply_recipe

SITE = """\
base_topic: acme/plant1/hall1/line1/cell1
cameras: [cam1.yaml]
detector: {model: plain, threads: 2}
decision: {confirm_confidence: 0.8, deadline_ms: 300}
"""
RECIPES = """\
recipes:
  - {name: flange_a, model: a}
  - name: flange_b
    model: b
    decision: {confirm_confidence: 0.9, failsafe: REJECT}
"""


def write(folder: Path, text: str) -> Path:
    (folder / "cam1.yaml").write_text("id: cam1\nselect: {serial: A1}\n")
    path = folder / "site.yaml"
    path.write_text(text)
    return path


def test_a_recipe_changes_what_it_names_and_nothing_else(tmp_path: Path) -> None:
    plain = load_site(write(tmp_path, SITE + RECIPES))
    site = apply_recipe(plain, "flange_b").site
    assert (site.recipe, site.detector.model, site.detector.threads) == ("flange_b", "b", 2)
    assert (site.decision.confirm_confidence, site.decision.failsafe) == (0.9, Failsafe.REJECT)
    assert site.decision.deadline_ms == 300
    other = apply_recipe(plain, "flange_a").site
    assert (other.detector.model, other.decision) == ("a", plain.site.decision)


def test_every_effective_site_has_a_hash_of_its_own(tmp_path: Path) -> None:
    plain = load_site(write(tmp_path, SITE + RECIPES))
    hashes = [apply_recipe(plain, name).config_sha256 for name in ("", "flange_a", "flange_b")]
    assert hashes[0] == plain.config_sha256
    assert len(set(hashes)) == 3
    again = load_site(write(tmp_path, SITE + RECIPES + "# the same\n"))
    assert [apply_recipe(again, name).config_sha256 for name in ("", "flange_a", "flange_b")] == hashes
    # As the site has it, and the default stated: the same today, but not when the site's is changed.
    stated = load_site(
        write(tmp_path, SITE + RECIPES.replace("model: a}", "model: a, decision: {failsafe: HOLD}}"))
    )
    assert apply_recipe(stated, "flange_a").config_sha256 not in hashes


def test_the_site_as_it_stands_is_no_recipe_even_where_one_is_named_for_the_start(tmp_path: Path) -> None:
    plain = load_site(write(tmp_path, SITE + RECIPES + "recipe: flange_a\n"))
    assert plain.site.detector.model == "plain"
    assert apply_recipe(plain, "").site.recipe == ""


def test_a_recipe_that_is_not_there_is_refused_with_those_that_are(tmp_path: Path) -> None:
    plain = load_site(write(tmp_path, SITE + RECIPES))
    with pytest.raises(ConfigError, match="there is no recipe flange_c; there are flange_a, flange_b"):
        apply_recipe(plain, "flange_c")
    with pytest.raises(ConfigError, match="lists none under recipes"):
        apply_recipe(load_site(write(tmp_path, SITE)), "flange_a")


@pytest.mark.parametrize(
    ("site", "expected"),
    [
        (
            SITE + RECIPES.replace("model: b", "modell: b"),
            "site.yaml:8: recipes.1.modell: there is no such key",
        ),
        (SITE + RECIPES.replace("    model: b\n", ""), "site.yaml:7: recipes.1.model: this key is needed"),
        (
            SITE + RECIPES + "  - {name: c, model: c, colour: red}\n",
            "site.yaml:10: recipes.2.colour: there is",
        ),
        (
            SITE + RECIPES.replace("0.9, failsafe", "0.9, deadline_ms: 100, failsafe"),
            "site.yaml:9: recipes.1.decision.deadline_ms: there is no such key",
        ),
        (SITE + RECIPES.replace("0.9", "0.4"), "site.yaml:9: recipes.1.decision.confirm_confidence:"),
        (SITE + RECIPES.replace("flange_b", "flange b"), "site.yaml:7: recipes.1.name:"),
        (
            SITE + RECIPES.replace("flange_b", "flange_a"),
            "site.yaml:5: recipes: two recipes are named flange_a",
        ),
        (SITE + RECIPES + "recipe: flange_c\n", "site.yaml:10: recipe: there is no recipe flange_c; list it"),
        (SITE + "recipe: flange_c\n", "site.yaml:5: recipe: there is no recipe flange_c; list it"),
    ],
)
def test_a_mistake_is_one_clear_line(tmp_path: Path, site: str, expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_site(write(tmp_path, site))
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)
