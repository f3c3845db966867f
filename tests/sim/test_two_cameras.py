"""Two cameras look at each part, through the whole cell, by a site of one's own and `inspector run`."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml
from brokers import Mosquitto
from whole_cell import INSPECTOR, command_of

from inspector.store.reader import SessionReader
from inspector.topics import VERDICTS
from inspector.types import Action, VerdictRecord

PARTS = 24
DEADLINE_MS = 450  # a slow machine renders and judges twice as many pictures as in the demo
BASE = "acme/plant1/hall1/line1/cell1"
REPOSITORY = Path(__file__).parents[2]
Json = dict[str, Any]


class TwoCameraCell:
    """Line and cell, each a program of its own, over one broker."""

    def __init__(self, folder: Path, port: int) -> None:
        self._folder, self._port = folder, port
        pid = os.getpid()
        first = f"127.{64 + pid % 64}.{pid // 64 % 250}.{2 + pid // 16000 % 250}"
        self.addresses = [first, f"{first.rpartition('.')[0]}.{int(first.rpartition('.')[2]) + 1}"]
        self.sessions = folder / "sessions"
        site_file = self._write_site()
        command = [
            sys.executable,
            "-m",
            "line_sim.cli",
            "run",
            "--broker",
            f"127.0.0.1:{port}",
            "--base",
            BASE,
        ]
        command += ["--camera-address", first, "--scenario", "two_cameras", "--parts", str(PARTS)]
        command += [
            "--seed",
            "3",
            "--linger",
            "5",
            "--start-timeout",
            "30",
            "--deadline-ms",
            str(DEADLINE_MS),
        ]
        self.line = subprocess.Popen(
            [
                *command,
                "--seed",
                "3",
                "--linger",
                "5",
                "--start-timeout",
                "30",
                "--deadline-ms",
                str(DEADLINE_MS),
            ],
            stdout=subprocess.PIPE,
            text=True,
            process_group=0,
        )
        self.event("ready")
        with (folder / "cell.log").open("w") as log:
            self.cell = subprocess.Popen(
                [str(INSPECTOR), "run", str(site_file)], stdout=log, stderr=log, process_group=0
            )

    def event(self, name: str) -> Json:
        """Read the line's log up to an event of that name."""
        assert self.line.stdout is not None
        for line in self.line.stdout:
            event: Json = json.loads(line)
            if event["event"] == name:
                return event
        raise AssertionError(f"no event {name}; the cell said: {(self._folder / 'cell.log').read_text()}")

    def service(self, name: str) -> psutil.Process:
        for child in psutil.Process(self.cell.pid).children():
            if f"inspector.services {name}" in " ".join(command_of(child)):
                return child
        raise AssertionError(f"no service {name}")

    def verdicts(self) -> list[VerdictRecord]:
        """End the cell; return what it recorded."""
        self.close()
        (session,) = (path.parent for path in self.sessions.glob("*/session.json"))
        return list(SessionReader(session).messages(VERDICTS))

    def close(self) -> None:
        for process in (self.cell, self.line):
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
            process.wait(30)
        if self.line.stdout is not None:
            self.line.stdout.close()

    def _write_site(self) -> Path:
        site = yaml.safe_load((REPOSITORY / "deploy" / "demo" / "site.yaml").read_text())
        camera = yaml.safe_load((REPOSITORY / "camera_configs" / "demo.yaml").read_text())
        site["cameras"] = []
        for number, address in enumerate(self.addresses, start=1):
            about = {"id": f"cam{number}", "select": {"serial": f"SIM-{number:04d}"}}
            text = yaml.safe_dump({**camera, **about, "interface_address": address}, sort_keys=False)
            (self._folder / f"cam{number}.yaml").write_text(text)
            site["cameras"].append(f"cam{number}.yaml")
        site["decision"]["deadline_ms"] = DEADLINE_MS
        site["detector"]["model"] = str(REPOSITORY / "models" / "demo_part")
        site["broker"] = {"host": "127.0.0.1", "port": self._port}
        site["recorder"] = {"directory": str(self.sessions), "frames": "none"}
        site["explainer"] = {"model": "none"}
        (self._folder / "site.yaml").write_text(yaml.safe_dump(site))
        return self._folder / "site.yaml"


@pytest.fixture
def cell(tmp_path: Path, mosquitto: Mosquitto) -> Iterator[TwoCameraCell]:
    running = TwoCameraCell(tmp_path, mosquitto.port)
    yield running
    running.close()


def test_each_verdict_rests_on_both_and_names_the_one_that_was_killed(cell: TwoCameraCell) -> None:
    truth: dict[str, str | None] = {}
    while len(truth) < PARTS // 2:
        trigger = cell.event("trigger")
        truth[trigger["part_id"]] = trigger["defect"]
    cell.service("camera.cam2").kill()
    summary = cell.event("summary")
    assert summary["parts_with_one_verdict"] == PARTS
    assert (summary["late"], summary["escapes"], summary["violations"]) == (0, 0, 0)
    records = [record for record in cell.verdicts() if record.verdict.part_id]
    assert len(records) == PARTS
    whole = [record for record in records if not record.verdict.missing]
    assert {record.verdict.part_id for record in whole} >= set(list(truth)[:-2])
    for record in whole:
        assert [result.camera_id for result in record.evidence.results] == ["cam1", "cam2"]
        frames = {result.exposure_start_ns for result in record.evidence.results}
        assert max(frames) - min(frames) < 20_000_000  # of one pulse
    # A defect is on one side only, and either camera finds it.
    rejected = [record for record in whole if record.verdict.action is Action.REJECT]
    worst = {
        max(record.evidence.results, key=lambda result: result.p_defect or 0.0).camera_id
        for record in rejected
    }
    assert worst == {"cam1", "cam2"}
    blind = [record.verdict for record in records if record.verdict.missing]
    assert blind
    for verdict in blind:
        assert verdict.missing == ("vision.cam2",)
        assert verdict.failsafe
        assert verdict.cause == "camera.cam2 down"
