"""The choice of a recipe on the disk: kept whole, looked at before, and never a guess."""

import shutil
from itertools import takewhile
from pathlib import Path

import pytest

from inspector.config import Site
from inspector.config_load import load_site
from inspector.errors import ConfigError, ModelError, StoreError
from inspector.services.check import check_site
from inspector.services.recipe import FILE, recipe_in_use, select_recipe
from inspector.services.setup import outbox_folder

MODEL = Path(__file__).parents[2] / "models" / "demo_part"
SITE = """\
base_topic: acme/plant1/hall1/line1/cell1
cameras: [cam1.yaml]
detector: {model: whole}
recipes:
  - {name: a, model: whole}
  - {name: b, model: whole, decision: {confirm_confidence: 0.9}}
  - {name: damaged, model: damaged}
  - {name: gone, model: gone}
  - {name: unfitted, model: whole, decision: {fusion: no_such_weights.json}}
"""


@pytest.fixture
def site_file(tmp_path: Path) -> Path:
    (tmp_path / "cam1.yaml").write_text("id: cam1\nselect: {serial: A1}\n")
    for name in ("whole", "damaged"):
        shutil.copytree(MODEL, tmp_path / "models" / name)
    with (tmp_path / "models" / "damaged" / "model.onnx").open("ab") as network:
        network.write(b"\0")
    path = tmp_path / "site.yaml"
    path.write_text(SITE)
    return path


def kept(site: Site) -> Path:
    return outbox_folder(site) / FILE


def test_what_was_selected_is_used_from_then_on(site_file: Path) -> None:
    site = load_site(site_file)
    assert recipe_in_use(site) == ""
    for name in ("b", "a", "b"):
        select_recipe(site, site_file, name)
        assert recipe_in_use(load_site(site_file)) == name
    kept(site).with_name(FILE + ".new").write_text("torn")  # a power cut while the next one is written
    assert recipe_in_use(site) == "b"


def test_the_site_file_says_what_is_used_first(site_file: Path) -> None:
    site_file.write_text(SITE + "recipe: a\n")
    site = load_site(site_file)
    assert recipe_in_use(site) == "a"
    select_recipe(site, site_file, "b")
    assert recipe_in_use(site) == "b"


@pytest.mark.parametrize(
    ("name", "error", "expected"),
    [
        ("damaged", ModelError, "sha256"),
        ("gone", ConfigError, "no model 'gone'"),
        ("unfitted", ConfigError, "no_such_weights.json"),
        ("c", ConfigError, "there is no recipe c; there are a, b"),
    ],
)
def test_one_that_cannot_be_used_changes_nothing(
    site_file: Path, name: str, error: type[Exception], expected: str
) -> None:
    site = load_site(site_file)
    select_recipe(site, site_file, "b")
    with pytest.raises(error, match=expected):
        select_recipe(site, site_file, name)
    assert recipe_in_use(site) == "b"


def test_with_a_site_file_that_was_edited_meanwhile_nothing_begins_anew(site_file: Path) -> None:
    # The services would read another site than the cameras, which go on.
    site = load_site(site_file)
    site_file.write_text(SITE.replace("0.9", "0.95"))
    with pytest.raises(ConfigError, match="was changed since the start"):
        select_recipe(site, site_file, "b")
    site_file.write_text("cameras: [")
    with pytest.raises(ConfigError, match="is not YAML"):
        select_recipe(site, site_file, "b")
    assert recipe_in_use(site) == ""


def test_a_recipe_that_was_taken_out_of_the_file_is_not_replaced_by_another(site_file: Path) -> None:
    select_recipe(load_site(site_file), site_file, "b")
    site_file.write_text(SITE.replace("{name: b,", "{name: b2,"))
    site = load_site(site_file)
    with pytest.raises(ConfigError, match="b was selected and is not there any more; put it back, or delete"):
        recipe_in_use(site)
    kept(site).unlink()
    assert recipe_in_use(site) == ""


def test_a_disk_that_does_not_take_the_choice_keeps_the_old_one(site_file: Path) -> None:
    site = load_site(site_file)
    kept(site).mkdir(parents=True)  # in the way of the file, for root too
    with pytest.raises(StoreError):
        select_recipe(site, site_file, "b")


def test_check_looks_at_every_recipe(site_file: Path) -> None:
    site = load_site(site_file)
    select_recipe(site, site_file, "b")
    found = list(takewhile(lambda finding: not finding.text.startswith("model"), check_site(site)))
    assert [(each.level, each.text.split()[1].rstrip(":")) for each in found] == [
        ("ok", "a"),
        ("ok", "b"),
        ("error", "damaged"),
        ("error", "gone"),
        ("error", "unfitted"),
    ]
    assert "it is in use" in found[1].text
    assert "sha256" in found[2].text


def test_the_recipe_in_use_must_be_whole(site_file: Path) -> None:
    site_file.write_text(SITE + "recipe: damaged\n")
    with pytest.raises(ConfigError, match=r"recipe damaged: .*sha256.*it is in use"):
        list(check_site(load_site(site_file)))
