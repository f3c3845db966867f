"""What a site's own incidents are made of: its sensors, cameras, labels, and its confirmed incidents."""

import random
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TypeVar

import yaml

from inspector.config import LimitRule, SensorConfig, Site
from inspector.errors import ConfigError
from inspector.explain.eval_cases import Maker, SiteSensor
from inspector.explain.eval_words import Kind, Words
from inspector.explain.facts import LineContext
from inspector.explain.knowledge import Known
from inspector.explain.tune.words import TUNE_WORDS
from inspector.types import Action, ReasonCode, VerdictRecord

_FEWEST = 4
"""A made-up incident takes four sensors and four labels; general ones make up what a site lacks."""
_FIGURES = 8
"""How often a confirmed incident is told, each time with other figures."""
T = TypeVar("T")
_TOKEN = re.compile(r"[^\W_]+")


def site_words(site: Site, labels: Sequence[str], context: LineContext) -> Words:
    """Return the words of `site`, whose detector knows `labels`."""
    sensors = [kind for sensor in site.site.sensors for kind in kinds_of(sensor)]
    named = {kind.name for kind in sensors}
    return Words(
        sensors=_filled(sensors, [kind for kind in TUNE_WORDS.sensors if kind.name not in named]),
        labels=_filled(labels, TUNE_WORDS.labels),
        causes=TUNE_WORDS.causes,
        cameras=tuple(context.cameras) or TUNE_WORDS.cameras,
    )


def labels_in(model_folder: Path) -> tuple[str, ...]:
    """Return the labels in a model's manifest.yaml. Raises ConfigError when it cannot be read."""
    path = model_folder / "manifest.yaml"
    try:
        found = yaml.safe_load(path.read_text("utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ConfigError(f"{path} cannot be read: {' '.join(str(error).split())}") from error
    labels = found.get("labels") if isinstance(found, dict) else None
    return tuple(str(label) for label in labels) if isinstance(labels, list) else ()


def confirmed(
    known: Iterable[Known], words: Words, context: LineContext, seed: int
) -> list[tuple[VerdictRecord, LineContext]]:
    """Return incidents like those whose cause a person has confirmed, each several times.

    A row counts for the labels and sensors of `words` that its symptom names; one that names none is left
    out. Only what the cell saw is learned from it: causes never reach a language model.
    """
    made: list[tuple[VerdictRecord, LineContext]] = []
    for number, row in enumerate(each for each in known if each.confirmed):
        said = _tokens(row.symptom)
        labels = [label for label in words.labels if _tokens(label) <= said]
        kinds = [
            kind
            for kind in words.sensors
            if any(_tokens(each) <= said for each in (kind.id, kind.name) if each)
        ]
        rng = random.Random(f"confirmed/{seed}/{number}")
        if labels or kinds:
            made += [(_record(rng, number, labels[:2], kinds[:2], words), context) for _ in range(_FIGURES)]
    return made


def _record(
    rng: random.Random, number: int, labels: list[str], kinds: list[Kind], words: Words
) -> VerdictRecord:
    make = Maker(rng, number, rng.choice(words.cameras))
    others = [kind for kind in words.sensors if kind not in kinds]
    events = [make.event(SiteSensor(kind.id or f"{kind.name}1", kind), "alarm") for kind in kinds]
    events += [
        make.event(SiteSensor(kind.id or f"{kind.name}1", kind), "normal") for kind in rng.sample(others, 2)
    ]
    p_defect = round(rng.uniform(0.78, 0.99), 2)
    seen = make.result(*labels, p_defect=p_defect)
    return make.record(Action.REJECT, ReasonCode.DEFECT, (seen,), events, p_defect=p_defect)


def _tokens(text: str) -> frozenset[str]:
    return frozenset(_TOKEN.findall(text.lower().replace("_", " ")))


def kinds_of(sensor: SensorConfig) -> list[Kind]:
    """Return the side on which the sensor has limits, one for each sensor: the upper one first."""
    rule = sensor.rule or LimitRule()
    for warn, alarm in ((rule.warn_high, rule.alarm_high), (rule.warn_low, rule.alarm_low)):
        if warn is not None and alarm is not None:
            normal = min(sensor.max_value, max(sensor.min_value, warn - 2.0 * (alarm - warn)))
            return [Kind(sensor.kind, sensor.unit, normal, warn, alarm, sensor.id)]
    return []


def _filled(own: Sequence[T], general: Sequence[T]) -> tuple[T, ...]:
    more = [each for each in general if each not in own]
    return (*dict.fromkeys(own), *more[: max(0, _FEWEST - len(own))])
