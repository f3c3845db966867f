"""The line changes product: the PLC selects a recipe, and the cell goes on with another model."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import onnx
import psutil
import pytest
import yaml
from brokers import Mosquitto
from plc_cell import TOPICS, Listener, wait_until
from whole_cell import INSPECTOR

from inspector.detect.model.manifest import file_sha256, load_manifest
from inspector.store.layout import read_meta, session_folders
from inspector.store.reader import SessionReader
from inspector.topics import VERDICTS

REPOSITORY = Path(__file__).parents[2]
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
MODELS = ("a", "b", "damaged", "unusable")
DEADLINE_MS = 450  # a slow machine renders and judges as well
PATIENCE_S = 120.0  # four services start at once, and others may want the machine
Json = dict[str, Any]


def make_model(folder: Path, product: str) -> str:
    """A model of its own hash that judges as the demo's does. Returns the hash's first digits."""
    shutil.copytree(REPOSITORY / "models" / "demo_part", folder)
    network = onnx.load(folder / "model.onnx")
    onnx.helper.set_model_props(network, {"product": product})
    return replace_network(folder, network.SerializeToString())


def replace_network(folder: Path, network: bytes) -> str:
    """Exchange a model's network, with its hash in the manifest."""
    manifest = folder / "manifest.yaml"
    before = load_manifest(folder).onnx.sha256
    (folder / "model.onnx").write_bytes(network)
    sha256 = file_sha256(folder / "model.onnx")
    manifest.write_text(manifest.read_text().replace(before, sha256))
    return sha256[:12]


class RecipeCell:
    """A line, a cell and the PLC's program, over one broker. The line runs until `line_summary`."""

    def __init__(self, folder: Path, port: int) -> None:
        self._folder, self._port = folder, port
        self.models = {name: make_model(folder / "models" / name, name) for name in MODELS}
        with (folder / "models" / "damaged" / "model.onnx").open("ab") as network:
            network.write(b"\0")
        unusable = folder / "models" / "unusable"
        self.models["unusable"] = replace_network(unusable, b"the right hash, but no network")
        self.sessions = folder / "sessions"
        (folder / "line.yaml").write_text(LINE)
        pid = os.getpid()
        address = f"127.{64 + pid % 64}.{pid // 64 % 250}.{2 + pid // 16000 % 250}"
        self._write_site(address)
        command = [sys.executable, "-m", "line_sim.cli", "run", "--broker", f"127.0.0.1:{port}"]
        command += ["--base", TOPICS.base, "--camera-address", address, "--start-timeout", "60"]
        command += ["--scenario", str(folder / "line.yaml"), "--linger", "2", "--seed", "3"]
        command += ["--deadline-ms", str(DEADLINE_MS), "--events", str(folder / "events.jsonl")]
        self.plc = Listener(port)
        self.line = subprocess.Popen(command, process_group=0)
        wait_until(lambda: self.events("ready") != [], "the line")
        self.start()

    def start(self) -> None:
        with (self._folder / "cell.log").open("a") as log:
            self.cell = subprocess.Popen(
                [str(INSPECTOR), "run", str(self._folder / "site.yaml")],
                stdout=log,
                stderr=log,
                process_group=0,
            )

    def cut_the_power(self) -> None:
        processes = [psutil.Process(self.cell.pid), *psutil.Process(self.cell.pid).children()]
        for process in processes:
            process.kill()
        psutil.wait_procs(processes)
        self.cell.wait()

    def until_state(self, state: str, recipe: str) -> None:
        def there() -> bool:
            return [(each["state"], each["recipe"]) for each in self.plc.leaves("state")[-1:]] == [
                (state, recipe)
            ]

        self._until(there, f"{state} with {recipe!r}: {self.plc.leaves('state')}")

    def command(self, command: str, **more: str) -> None:
        self.plc.publish(TOPICS.command, {"command": command, "source": "plc", **more})

    def select(self, recipe: str) -> None:
        """Select a recipe until the cell takes it in hand: the line does not pause, so parts may be open."""
        before = len(self.plc.leaves("state"))

        def taken() -> bool:
            return any(each["state"] == "Preoperational" for each in self.plc.leaves("state")[before:])

        self._select_until(recipe, taken)

    def refusal(self, recipe: str) -> str:
        """Select a recipe that is refused for another reason than an open part; returns the reason."""
        before = len(self.faults("RECIPE_REFUSED"))

        def reasons() -> list[str]:
            return [text for text in self.faults("RECIPE_REFUSED")[before:] if "being judged" not in text]

        self._select_until(recipe, lambda: reasons() != [])
        return reasons()[0]

    def faults(self, code: str) -> list[str]:
        return [fault["text"] for fault in self.plc.leaves("fault") if fault["code"] == code]

    def until_fault(self, code: str) -> str:
        self._until(lambda: self.faults(code) != [], f"the fault {code}")
        return self.faults(code)[-1]

    def until_verdicts(self, count: int, **wanted: object) -> None:
        """Wait for so many more verdicts on parts that have what is wanted."""
        before = len(self.plc.leaves("verdict"))

        def found() -> list[Json]:
            later = self.plc.leaves("verdict")[before:]
            return [each for each in later if each["part_id"] and wanted.items() <= each.items()]

        self._until(lambda: len(found()) >= count, f"{count} verdicts with {wanted}")

    def _select_until(self, recipe: str, done: Callable[[], bool]) -> None:
        def asked() -> bool:
            self.command("SELECT_RECIPE", recipe=recipe)
            time.sleep(0.2)
            return done()

        self._until(asked, f"an answer to {recipe}: {self.plc.leaves('fault')}")

    def _until(self, condition: Callable[[], bool], what: str) -> None:
        def fulfilled() -> bool:
            assert self.cell.poll() is None, (self._folder / "cell.log").read_text()
            return condition()

        wait_until(fulfilled, what, PATIENCE_S)

    def line_summary(self) -> Json:
        self.line.send_signal(signal.SIGINT)
        self.line.wait(60)
        return self.events("summary")[0]

    def events(self, name: str) -> list[Json]:
        """What the line has written of one kind."""
        path = self._folder / "events.jsonl"
        lines = path.read_text().splitlines(keepends=True) if path.exists() else []
        events: list[Json] = [json.loads(line) for line in lines if line.endswith("\n")]
        return [event for event in events if event["event"] == name]

    def close(self) -> None:
        self.plc.close()
        for process in (self.cell, self.line):
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
            process.wait(30)

    def _write_site(self, address: str) -> None:
        site = yaml.safe_load((REPOSITORY / "deploy" / "demo" / "site.yaml").read_text())
        camera = yaml.safe_load((REPOSITORY / "camera_configs" / "demo.yaml").read_text())
        camera["interface_address"] = address
        (self._folder / "camera.yaml").write_text(yaml.safe_dump(camera, sort_keys=False))
        site["base_topic"] = TOPICS.base
        site["cameras"] = ["camera.yaml"]
        site["decision"]["deadline_ms"] = DEADLINE_MS
        site["detector"]["model"] = "a"
        site["broker"] = {"host": "127.0.0.1", "port": self._port}
        site["recorder"] = {"directory": "sessions", "frames": "none"}
        site["explainer"] = {"model": "none"}
        site["recipes"] = [
            {"name": "flange_a", "model": "a"},
            {"name": "flange_b", "model": "b", "decision": {"confirm_confidence": 0.7}},
            {"name": "flange_c", "model": "damaged"},
            {"name": "flange_d", "model": "unusable"},
        ]
        site["recipe"] = "flange_a"
        (self._folder / "site.yaml").write_text(yaml.safe_dump(site))


@pytest.fixture
def cell(tmp_path: Path, mosquitto: Mosquitto) -> Iterator[RecipeCell]:
    running = RecipeCell(tmp_path, mosquitto.port)
    yield running
    running.close()


@pytest.mark.timeout(900)
def test_a_line_changes_its_product(cell: RecipeCell) -> None:
    cell.until_state("ContinuousExecution", "flange_a")
    cell.until_verdicts(4, model=cell.models["a"], decision="CONFIRMED_ACTION")
    assert "send STOP" in cell.refusal("flange_b")

    cell.command("STOP")
    cell.until_state("Ready", "flange_a")
    assert "there are flange_a, flange_b, flange_c, flange_d" in cell.refusal("flange_x")
    assert "sha256" in cell.refusal("flange_c"), "a damaged model is found before anything is ended"
    cell.until_state("Ready", "flange_a")
    cell.select("flange_b")
    cell.until_state("Ready", "flange_b")
    cell.command("START")
    cell.until_state("ContinuousExecution", "flange_b")
    cell.until_verdicts(6, model=cell.models["b"], decision="CONFIRMED_ACTION")

    cell.cut_the_power()
    cell.start()
    wait_until(lambda: cell.plc.leaves("state")[-1]["state"] == "Preoperational", "its return", PATIENCE_S)
    cell.until_state("ContinuousExecution", "flange_b")
    cell.until_verdicts(4, model=cell.models["b"], decision="CONFIRMED_ACTION")

    cell.command("STOP")
    cell.until_state("Ready", "flange_b")
    cell.select("flange_d")
    assert "OpenVINO cannot load it" in cell.until_fault("ModelError")
    cell.until_state("Preoperational", "flange_d")
    cell.select("flange_a")
    cell.until_state("Ready", "flange_a")
    cell.until_verdicts(4, model=cell.models["a"], decision="CONFIRMED_ACTION")

    cell.plc.publish(
        TOPICS.sensor("estop1"),
        {"seq": 1_000_000, "kind": "emergency_button", "value": 1, "unit": "bool", "urgency": 1.0},
    )
    cell.until_state("Error", "flange_a")
    assert "RESET" in cell.refusal("flange_b")

    summary = cell.line_summary()
    assert summary["parts_with_one_verdict"] == summary["parts"] > 0
    assert (summary["duplicates"], summary["violations"]) == (0, 0)
    cell.close()
    assert [models_of(session) for session in session_folders(cell.sessions)] == [
        {cell.models[name]} for name in ("a", "b", "b", "unusable", "a")
    ]
    for session in session_folders(cell.sessions):
        replay = subprocess.run(
            [str(INSPECTOR), "replay", str(session)], capture_output=True, text=True, check=False
        )
        assert replay.returncode == 0, replay.stdout + replay.stderr


def models_of(session: Path) -> set[str]:
    """The model that a session names, and those by which its parts were judged; one configuration."""
    info = read_meta(session).info
    records = list(SessionReader(session).messages(VERDICTS))
    assert {record.verdict.config_sha256 for record in records} <= {info.config_sha256}
    hashes = {record.verdict.model_sha256 for record in records} | {info.model_sha256}
    hashes |= {result.model_sha256 for record in records for result in record.evidence.results}
    return {sha256[:12] for sha256 in hashes}
