"""A scenario back into the YAML that it can be read from."""

from pathlib import Path

import yaml

from line_sim.scenario import Scenario


def scenario_text(scenario: Scenario) -> str:
    """Return YAML with everything that is not as by default."""
    data = scenario.model_dump(mode="json", exclude_defaults=True)
    return yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=110)


def write_scenario(path: Path, scenario: Scenario) -> None:
    """Write a scenario file. Raises OSError."""
    path.write_text(scenario_text(scenario), encoding="utf-8")
