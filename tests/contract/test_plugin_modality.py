"""A plug-in that is installed: found by its entry point, run as a service, heard on the arbiter's side."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from inspector.bus import Bus, sweep
from inspector.clock import SystemClock
from inspector.config import LimitRule, ModalityConfig, SensorConfig
from inspector.config_load import load_site
from inspector.errors import ConfigError
from inspector.metrics import Metrics
from inspector.sensors.intake import SensorIntake
from inspector.services.loop import Context
from inspector.services.modality import factory_of, make
from inspector.services.statements import Statements
from inspector.services.table import services
from inspector.topics import STATEMENTS, MqttTopics
from inspector.types import Fault, PartTrigger

SITE = Path(__file__).parents[2] / "deploy" / "demo" / "site.yaml"
PLUG_IN = """
from inspector.modality import Said

class Ear:
    def __init__(self, levels, clock):
        self.levels, self.clock = list(levels), clock
    def poll(self):
        return [Said(float(self.levels.pop(0)), self.clock.now_ns())] if self.levels else []
    def close(self):
        pass

def make(options, clock, wake):
    return Ear(options["levels"], clock)
"""
EAR = SensorConfig(
    id="ear1",
    kind="squeak",
    unit="dB",
    min_value=0.0,
    max_value=120.0,
    modality="sound",
    rule=LimitRule(warn_high=60.0, alarm_high=80.0),
)
MODALITY = ModalityConfig(name="ear", sensor="ear1", reach_ms=10_000, options={"levels": ("90", "200", "30")})


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info = tmp_path / "ear-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: ear\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[inspector.modalities]\near = ear_plug_in:make\nbroken = ear_plug_in:nothing\n"
    )
    (tmp_path / "ear_plug_in.py").write_text(PLUG_IN)
    monkeypatch.syspath_prepend(str(tmp_path))


@pytest.fixture
def bus() -> Iterator[Bus]:
    with Bus(f"{os.getpid()}", "test") as made:
        yield made
    sweep(f"{os.getpid()}")


@pytest.mark.usefixtures("installed")
def test_what_a_plug_in_says_becomes_evidence_of_the_part_at_hand(bus: Bus) -> None:
    loaded = load_site(SITE)
    line = replace(loaded.site, sensors=(EAR,), modalities=(MODALITY,))
    site = replace(loaded, site=line)
    (spec,) = (each for each in services(site) if each.name == "modality.ear1")
    assert not spec.required
    faults: list[Fault] = []
    clock = SystemClock()
    context = Context("modality.ear1", "test", site, bus, clock, Metrics("test"), faults.append)
    statements = Statements(context, bus.subscriber(STATEMENTS), SensorIntake((EAR,), MqttTopics("a/b")))
    service = make(context, "ear1")

    service.step()  # before there was a part
    assert list(statements.events()) == []
    assert context.counters["statements_about_no_part"] == 1

    now_ns = clock.now_ns()
    statements.see(PartTrigger(part_id="P1", seq=1, trigger_ns=now_ns, received_ns=now_ns))
    service.step()  # louder than it can hear
    assert list(statements.events()) == []
    assert [fault.code for fault in faults] == ["STATEMENT_REFUSED"]

    service.step()
    (event,) = statements.events()
    assert (event.modality, event.value, event.observed_ns, event.p_defect) == ("sound", 30.0, now_ns, 0.5)
    assert context.counters["statements"] == 3
    service.close()


@pytest.mark.usefixtures("installed")
def test_a_plug_in_that_cannot_be_loaded_is_named() -> None:
    with pytest.raises(ConfigError, match=r"modalities: broken: its plug-in cannot be loaded: .*nothing"):
        factory_of(ModalityConfig(name="broken", sensor="ear1"))
