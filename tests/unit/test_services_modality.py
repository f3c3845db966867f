"""Plug-in modalities: which one is meant, which part they speak of, and what the site's rule makes of it."""

from pathlib import Path

import pytest

from inspector.config import DetectorConfig, LimitRule, ModalityConfig, SensorConfig, SiteConfig
from inspector.errors import ConfigError
from inspector.flat import RefusedError
from inspector.sensors.intake import SensorIntake
from inspector.services.modality import factory_of
from inspector.services.part_at_hand import PartAtHand
from inspector.speech.modality import make
from inspector.topics import MqttTopics
from inspector.types import PartTrigger, Statement

MS = 1_000_000
OPERATOR = SensorConfig(
    id="operator1",
    kind="operator_word",
    unit="bool",
    min_value=0.0,
    max_value=1.0,
    modality="speech",
    awaited=True,
    rule=LimitRule(warn_high=0.1, alarm_high=0.9, p_defect_normal=0.05, p_defect_at_alarm=0.95),
)


def statement(begun_ms: float, value: float = 1.0, seq: int = 1) -> Statement:
    return Statement(sensor_id="operator1", value=value, seq=seq, begun_ns=round(begun_ms * MS))


def at_hand(reach_ms: int) -> PartAtHand:
    parts = PartAtHand([ModalityConfig(name="speech", sensor="operator1", reach_ms=reach_ms)])
    for number in (1, 2):
        at_ns = number * 1000 * MS
        parts.see(PartTrigger(part_id=f"P{number}", seq=number, trigger_ns=at_ns, received_ns=at_ns))
    return parts


def test_what_is_said_is_about_the_last_part_that_was_there_when_it_began() -> None:
    assert at_hand(1500).about_ns(statement(1990)) == 1000 * MS
    assert at_hand(1500).about_ns(statement(2000)) == 2000 * MS
    assert at_hand(1500).about_ns(statement(3500)) == 2000 * MS


def test_what_is_about_no_part_is_nobodys_evidence() -> None:
    assert at_hand(1500).about_ns(statement(999)) is None
    assert at_hand(1500).about_ns(statement(3501)) is None


def test_without_a_reach_it_is_about_its_own_time() -> None:
    assert at_hand(0).about_ns(statement(123)) == 123 * MS


def test_the_sites_rule_says_what_a_word_is_worth() -> None:
    intake = SensorIntake((OPERATOR,), MqttTopics("a/b"))
    reject = intake.hear(statement(2000, 1.0, 1), 1000 * MS, 2600 * MS, 10**18)
    confirm = intake.hear(statement(2100, 0.0, 2), 1000 * MS, 2700 * MS, 10**18)
    assert (reject.modality, reject.observed_ns, reject.source_utc_ns) == (
        "speech",
        1000 * MS,
        10**18 + 1000 * MS,
    )
    assert reject.p_defect == pytest.approx(0.95)
    assert confirm.p_defect == pytest.approx(0.05)
    assert confirm.abnormal is None


def test_a_value_that_the_sensor_cannot_have_is_refused_and_counted() -> None:
    intake = SensorIntake((OPERATOR,), MqttTopics("a/b"))
    with pytest.raises(RefusedError, match="operator1: 2 bool is outside"):
        intake.hear(statement(2000, 2.0), 1000 * MS, 2600 * MS, 10**18)
    assert intake.refused["value"] == 1


def test_a_plug_in_that_is_not_installed_is_named_with_those_that_are() -> None:
    assert factory_of(ModalityConfig(name="speech", sensor="operator1")) is make
    with pytest.raises(ConfigError, match="modalities: smell: no such plug-in; installed: speech"):
        factory_of(ModalityConfig(name="smell", sensor="nose1"))


def site(*modalities: ModalityConfig) -> SiteConfig:
    return SiteConfig(
        base_topic="a/b",
        cameras=(Path("cam.yaml"),),
        detector=DetectorConfig(model="m"),
        sensors=(OPERATOR,),
        modalities=modalities,
    )


def test_a_modality_speaks_as_a_sensor_of_the_site_that_nobody_else_speaks_as() -> None:
    one = ModalityConfig(name="speech", sensor="operator1")
    assert site(one).modalities == (one,)
    with pytest.raises(ValueError, match="modalities: there is no sensor nose1"):
        site(ModalityConfig(name="smell", sensor="nose1"))
    with pytest.raises(ValueError, match="two modalities speak as the same sensor"):
        site(one, one)
    with pytest.raises(ValueError, match="modality vision is not of a sensor"):
        SensorConfig(id="x", kind="k", unit="", min_value=0.0, max_value=1.0, modality="vision")
