"""The line changes product: the PLC selects a recipe, and the cell goes on with another model."""

import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import onnx
import psutil
import pytest
from brokers import Mosquitto
from cameras import virtual_camera
from line_and_cell import REPOSITORY, LineAndCell, write_site
from plc_cell import TOPICS
from whole_cell import INSPECTOR

from inspector.detect.model.manifest import file_sha256, load_manifest
from inspector.store.layout import read_meta, session_folders
from inspector.store.reader import SessionReader
from inspector.topics import VERDICTS

RECIPES = [
    {"name": "flange_a", "model": "a"},
    {"name": "flange_b", "model": "b", "decision": {"confirm_confidence": 0.7}},
    {"name": "flange_c", "model": "damaged"},
    {"name": "flange_d", "model": "unusable"},
]


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


class RecipeCell(LineAndCell):
    """One with four recipes, two of which will not do."""

    def __init__(self, folder: Path, port: int) -> None:
        names = ("a", "b", "damaged", "unusable")
        self.models = {name: make_model(folder / "models" / name, name) for name in names}
        with (folder / "models" / "damaged" / "model.onnx").open("ab") as network:
            network.write(b"\0")
        unusable = folder / "models" / "unusable"
        self.models["unusable"] = replace_network(unusable, b"the right hash, but no network")
        super().__init__(folder, port, {"recipes": RECIPES, "recipe": "flange_a"})
        self.start("run")

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

        self.until(there, f"{state} with {recipe!r}: {self.plc.leaves('state')}")

    def command(self, command: str, **more: str) -> None:
        self.plc.publish(TOPICS.command, {"command": command, "source": "plc", **more})

    def select(self, recipe: str) -> None:
        """Select a recipe until the cell takes it in hand: the line does not pause, so parts may be open."""
        before = len(self.plc.leaves("state"))

        def taken() -> bool:
            later = self.plc.leaves("state")[before:]
            return any(each["state"] == "Preoperational" or each["recipe"] == recipe for each in later)

        self._select_until(recipe, taken)

    def refusal(self, recipe: str) -> str:
        """Select a recipe that is refused for another reason than an open part; returns the reason."""
        before = len(self.faults("RECIPE_REFUSED"))

        def reasons() -> list[str]:
            return [text for text in self.faults("RECIPE_REFUSED")[before:] if "being judged" not in text]

        self._select_until(recipe, lambda: reasons() != [])
        return reasons()[0]

    def press_emergency_stop(self, seq: int) -> None:
        reading = {"seq": seq, "kind": "emergency_button", "value": 1, "unit": "bool", "urgency": 1.0}
        self.plc.publish(TOPICS.sensor("estop1"), reading)

    def reasons(self) -> set[str]:
        return {verdict["reason"] for verdict in self.plc.leaves("verdict")}

    def faults(self, code: str) -> list[str]:
        return [fault["text"] for fault in self.plc.leaves("fault") if fault["code"] == code]

    def until_fault(self, code: str) -> str:
        self.until(lambda: self.faults(code) != [], f"the fault {code}")
        return self.faults(code)[-1]

    def _select_until(self, recipe: str, done: Callable[[], bool]) -> None:
        def asked() -> bool:
            self.command("SELECT_RECIPE", recipe=recipe)
            time.sleep(0.2)
            return done()

        self.until(asked, f"an answer to {recipe}: {self.plc.leaves('fault')}")


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
    before = len(cell.plc.leaves("state"))
    cell.start("run")
    cell.until(lambda: len(cell.plc.leaves("state")) > before, "its return")
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

    cell.select("flange_b")
    cell.until(lambda: not cell.plc.leaves("availability")[-1]["available"], "the change")
    cell.press_emergency_stop(1_000_000)
    cell.until(lambda: "EMERGENCY" in cell.reasons(), "the emergency that came meanwhile")
    cell.until_state("Ready", "flange_b")  # the line has sent RESET
    cell.press_emergency_stop(1_000_001)
    cell.until_state("Error", "flange_b")
    assert "RESET" in cell.refusal("flange_a")

    summary = cell.line_summary()
    assert summary["parts_with_one_verdict"] == summary["parts"] > 0
    assert (summary["duplicates"], summary["violations"]) == (0, 0)
    cell.close()
    assert [models_of(session) for session in session_folders(cell.sessions)] == [
        {cell.models[name]} for name in ("a", "b", "b", "unusable", "a", "b")
    ]
    for session in session_folders(cell.sessions):
        replay = subprocess.run(
            [str(INSPECTOR), "replay", str(session)], capture_output=True, text=True, check=False
        )
        assert replay.returncode == 0, replay.stdout + replay.stderr


def test_check_fails_on_a_recipe_that_would_be_refused(tmp_path: Path, mosquitto: Mosquitto) -> None:
    make_model(tmp_path / "models" / "a", "a")
    camera = virtual_camera("--serial", "SIM-0001")
    camera.start()
    try:
        for recipes, status in ((RECIPES[:1], 0), ([RECIPES[0], RECIPES[2]], 2)):
            site_file = write_site(tmp_path, camera.address, mosquitto.port, {"recipes": recipes})
            command = [str(INSPECTOR), "check", str(site_file)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            assert done.returncode == status, done.stdout + done.stderr
    finally:
        camera.kill()
    assert "error  recipe flange_c: detector.model: no model 'damaged'" in done.stdout
    assert done.stderr.splitlines()[-1].endswith("1 of its recipes cannot be selected, see above")


def models_of(session: Path) -> set[str]:
    """The model that a session names, and those by which its parts were judged; one configuration."""
    info = read_meta(session).info
    records = list(SessionReader(session).messages(VERDICTS))
    assert {record.verdict.config_sha256 for record in records} <= {info.config_sha256}
    hashes = {record.verdict.model_sha256 for record in records} | {info.model_sha256}
    hashes |= {result.model_sha256 for record in records for result in record.evidence.results}
    return {sha256[:12] for sha256 in hashes}
