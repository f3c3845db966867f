"""A scenario back into the YAML that it can be read from."""

from pathlib import Path
from typing import Any

import yaml
from msgspec.structs import fields

from inspector.strict_data import Strict, to_plain
from line_sim.scenario import Scenario


def scenario_text(scenario: Scenario) -> str:
    """Return YAML with everything that is not as by default."""
    return yaml.safe_dump(not_default(scenario), sort_keys=False, allow_unicode=True, width=110)


def write_scenario(path: Path, scenario: Scenario) -> None:
    """Write a scenario file. Raises OSError."""
    path.write_text(scenario_text(scenario), encoding="utf-8")


def not_default(section: Strict) -> dict[str, Any]:
    """Return what YAML has of a section, without what is as by default."""
    plain = to_plain(section)
    return {
        field.name: _sections(value, plain[field.name])
        for field in fields(section)
        if (value := getattr(section, field.name)) != field.default
    }


def _sections(value: object, plain: object) -> object:
    if isinstance(value, Strict):
        return not_default(value)
    if isinstance(value, tuple) and isinstance(plain, list):
        return [_sections(each, its) for each, its in zip(value, plain, strict=True)]
    return plain
