"""Faults on their way to MQTT: those that the arbiter missed too, each once."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from brokers import Mosquitto, mosquitto_binary
from msgspec.structs import replace
from plc_cell import PATIENCE_S, TOPICS, Listener

from inspector.bus import Bus, sweep
from inspector.clock import SystemClock
from inspector.config_load import load_site
from inspector.metrics import Metrics
from inspector.services.arbiter import ArbiterService
from inspector.services.loop import Context
from inspector.topics import FAULTS, MISSED_FAULTS
from inspector.types import Fault

SITE = Path(__file__).parents[2] / "deploy" / "demo" / "site.yaml"


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    if mosquitto_binary() is None:
        pytest.skip("needs mosquitto: apt install mosquitto")
    broker = Mosquitto(tmp_path / "broker")
    broker.start()
    yield broker.port
    broker.kill()


def told_of(plc: Listener) -> list[str]:
    """The services of the faults that were heard, without what the link says of a slow broker."""
    services = [str(fault["service"]) for fault in plc.leaves("fault")]
    return [service for service in services if service in {"before", "heard", "since"}]


def test_a_fault_of_before_the_arbiter_reaches_mqtt_once(port: int, tmp_path: Path) -> None:
    site = load_site(SITE)
    line = replace(
        site.site,
        base_topic=TOPICS.base,
        broker=replace(site.site.broker, port=port),
        recorder=replace(site.site.recorder, directory=tmp_path),
    )
    domain = f"{os.getpid()}"
    clock = SystemClock()
    before, since, heard = (
        Fault(service=name, code="DEVICE", text="check the cable", at_ns=clock.now_ns())
        for name in ("before", "since", "heard")
    )
    plc = Listener(port)
    with Bus(domain, "supervisor") as supervisor, Bus(domain, "arbiter") as bus:
        told, missed = supervisor.publisher(FAULTS), supervisor.publisher(MISSED_FAULTS)
        told.send(before)  # nobody is there
        context = Context(
            "arbiter",
            domain,
            replace(site, site=line),
            bus,
            clock,
            Metrics("arbiter"),
            lambda _: None,
        )
        arbiter = ArbiterService(context)
        told.send(since)
        for fault in (before, since):
            missed.send(fault)
        told.send(heard)
        deadline = time.monotonic() + PATIENCE_S
        while len(told_of(plc)) < 3 or plc.leaves("heartbeat") == []:
            assert time.monotonic() < deadline, plc.leaves("fault")
            bus.wait(10_000_000)
            arbiter.step()
        arbiter.close()
    sweep(domain)
    plc.close()
    assert sorted(told_of(plc)) == ["before", "heard", "since"]
