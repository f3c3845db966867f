"""A line that runs until it is told to stop, and a cell by a site file of its own, over one broker."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from plc_cell import TOPICS, Listener, wait_until
from whole_cell import INSPECTOR

REPOSITORY = Path(__file__).parents[1]
LINE = """\
description: A line that runs until it is told to stop.
parts: 400
parts_per_s: 2.0
defect_rate: 0.15
belt: {speed_mm_s: 400, rejector_mm: 240}
sensors:
  - {id: vibration1, kind: vibration, unit: mm/s, mean: 1.8, sigma: 0.15, lead_ms: 8}
  - {id: gripper1, kind: gripper_force, unit: N, mean: 42.0, sigma: 0.8, lead_ms: 10}
  - {id: estop1, kind: emergency_button, unit: bool, mean: 0, lead_ms: 4, holds: true}
"""
DEADLINE_MS = 450  # a slow machine renders and judges as well
PATIENCE_S = 120.0  # all services start at once, and others may want the machine
Json = dict[str, Any]


def write_site(folder: Path, address: str, port: int, change: Json) -> Path:
    """The demo's site with `change`, for a camera at `address` and a broker at `port`."""
    site = yaml.safe_load((REPOSITORY / "deploy" / "demo" / "site.yaml").read_text())
    camera = yaml.safe_load((REPOSITORY / "camera_configs" / "demo.yaml").read_text())
    camera["interface_address"] = address
    (folder / "camera.yaml").write_text(yaml.safe_dump(camera, sort_keys=False))
    site["base_topic"] = TOPICS.base
    site["cameras"] = ["camera.yaml"]
    site["decision"]["deadline_ms"] = DEADLINE_MS
    site["detector"]["model"] = str(REPOSITORY / "models" / "demo_part")
    site["broker"] = {"host": "127.0.0.1", "port": port}
    site["recorder"] = {"directory": "sessions", "frames": "none"}
    site["explainer"] = {"model": "none"}
    (folder / "site.yaml").write_text(yaml.safe_dump(site | change))
    return folder / "site.yaml"


class LineAndCell:
    """The simulated line, `inspector`, and a PLC's program that listens."""

    def __init__(self, folder: Path, port: int, change: Json) -> None:
        self.folder = folder
        self.sessions = folder / "sessions"
        (folder / "line.yaml").write_text(LINE)
        pid = os.getpid()
        address = f"127.{64 + pid % 64}.{pid // 64 % 250}.{2 + pid // 16000 % 250}"
        write_site(folder, address, port, change)
        command = [sys.executable, "-m", "line_sim.cli", "run", "--broker", f"127.0.0.1:{port}"]
        command += ["--base", TOPICS.base, "--camera-address", address, "--start-timeout", "60"]
        command += ["--scenario", str(folder / "line.yaml"), "--linger", "2", "--seed", "3"]
        command += ["--deadline-ms", str(DEADLINE_MS), "--events", str(folder / "events.jsonl")]
        self.plc = Listener(port)
        self.line = subprocess.Popen(command, process_group=0)
        wait_until(lambda: self.events("ready") != [], "the line")

    def start(self, command: str, *arguments: str) -> None:
        """Start the cell by `inspector run` or another command."""
        with (self.folder / "cell.log").open("a") as log, (self.folder / "cell.out").open("w") as out:
            self.cell = subprocess.Popen(
                [str(INSPECTOR), command, str(self.folder / "site.yaml"), *arguments],
                stdout=out,
                stderr=log,
                process_group=0,
            )

    def log(self) -> str:
        return (self.folder / "cell.log").read_text()

    def until(self, condition: Callable[[], bool], what: str) -> None:
        """Wait for a condition while the cell runs."""

        def fulfilled() -> bool:
            assert self.cell.poll() is None, self.log()
            return condition()

        wait_until(fulfilled, what, PATIENCE_S)

    def until_verdicts(self, count: int, **wanted: object) -> None:
        """Wait for so many more verdicts on parts that have what is wanted."""
        before = len(self.plc.leaves("verdict"))

        def found() -> list[Json]:
            later = self.plc.leaves("verdict")[before:]
            return [each for each in later if each["part_id"] and wanted.items() <= each.items()]

        self.until(lambda: len(found()) >= count, f"{count} verdicts with {wanted}")

    def line_summary(self) -> Json:
        """End the line."""
        self.line.send_signal(signal.SIGINT)
        self.line.wait(60)
        return self.events("summary")[0]

    def events(self, name: str) -> list[Json]:
        """What the line has written of one kind."""
        path = self.folder / "events.jsonl"
        lines = path.read_text().splitlines(keepends=True) if path.exists() else []
        events: list[Json] = [json.loads(line) for line in lines if line.endswith("\n")]
        return [event for event in events if event["event"] == name]

    def close(self) -> None:
        self.plc.close()
        for process in (self.cell, self.line):
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
            process.wait(30)
