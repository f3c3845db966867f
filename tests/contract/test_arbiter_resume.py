"""An arbiter that takes over what the one before left, also when a part of it cannot be told."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from inspector.bus import Bus, sweep
from inspector.clock import NS_PER_S, SystemClock
from inspector.config_load import load_site
from inspector.metrics import Metrics
from inspector.plc.ledger import Ledger
from inspector.services.arbiter import ArbiterService
from inspector.services.loop import Context
from inspector.services.setup import outbox_folder
from inspector.types import Fault, FrameMeta, PartTrigger

SITE = Path(__file__).parents[2] / "deploy" / "demo" / "site.yaml"
TOO_LONG = "x" * 65  # refused at the door; a ledger of another make may hold it


@pytest.fixture
def faults() -> list[Fault]:
    return []


@pytest.fixture
def context(tmp_path: Path, faults: list[Fault]) -> Iterator[Context]:
    domain = f"{os.getpid()}"
    site = load_site(SITE)
    recorder = replace(site.site.recorder, directory=tmp_path)
    line = replace(site.site, recorder=recorder)
    site = replace(site, site=line)
    with Bus(domain, "arbiter") as bus:
        yield Context("arbiter", domain, site, bus, SystemClock(), Metrics("arbiter"), faults.append)
    sweep(domain)


def test_a_part_whose_verdict_cannot_be_written_gets_the_failsafe(
    context: Context, faults: list[Fault]
) -> None:
    folder = outbox_folder(context.site)
    clock = context.clock
    offset_ns = clock.utc_ns() - clock.now_ns()
    folder.mkdir(parents=True)
    ledger = Ledger(folder, offset_ns)
    at_ns = clock.now_ns() - 10 * NS_PER_S
    for seq, part_id in enumerate((TOO_LONG, "P2")):
        ledger.opened(PartTrigger(part_id=part_id, seq=seq, trigger_ns=at_ns, received_ns=at_ns), offset_ns)
    arbiter = ArbiterService(context)
    arbiter.step()
    arbiter.close()
    (told,) = [fault for fault in faults if fault.code == "VERDICT_BROKEN"]
    assert "part_id has 65 characters" in told.text
    first, second = Ledger(folder, offset_ns).left.verdicts
    broken, sound = json.loads(first.payload), json.loads(second.payload)
    assert (broken["decision"], broken["action"], broken["failsafe"]) == ("PENDING", "HOLD", True)
    assert broken["part_id"].startswith("xxx")
    assert (sound["part_id"], sound["seq"]) == ("P2", broken["seq"] + 1)


def test_a_part_that_is_a_frame_is_in_the_ledger(context: Context) -> None:
    line = context.site.site
    by_frame = replace(line.decision, trigger="frame")
    context.site = replace(context.site, site=replace(line, decision=by_frame))
    camera = context.site.cameras[0].id
    now_ns = context.clock.now_ns()
    meta = FrameMeta(
        camera_id=camera,
        frame_id=7,
        exposure_start_ns=now_ns,
        exposure_us=1.0,
        received_ns=now_ns,
        width_px=4,
        height_px=4,
        pixel_format="Mono8",
    )
    frames = context.bus.frame_publisher(camera, 16)
    arbiter = ArbiterService(context)
    frames.loan(16).send(meta)
    arbiter.step()
    arbiter.close()
    left = Ledger(outbox_folder(context.site), 0).left
    parts = [part.part_id for part in left.opened] + [put.part_id for put in left.verdicts]
    assert parts == [f"{camera}-7"]
