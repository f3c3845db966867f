"""`inspector record`: a cell as it runs, with every picture kept, and a session that is named at the end."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from brokers import Mosquitto
from cameras import virtual_camera
from line_and_cell import PATIENCE_S, LineAndCell, write_site
from whole_cell import INSPECTOR

from inspector.store.reader import SessionReader
from inspector.topics import VERDICTS


@pytest.fixture
def cell(tmp_path: Path, mosquitto: Mosquitto) -> Iterator[LineAndCell]:
    recorder = {"directory": "sessions", "frames": "not_passed"}
    running = LineAndCell(tmp_path, mosquitto.port, {"recorder": recorder})
    yield running
    running.close()


@pytest.mark.timeout(400)
def test_so_many_parts_are_recorded_with_their_pictures(cell: LineAndCell) -> None:
    cell.start("record", "--parts", "8")
    assert cell.cell.wait(PATIENCE_S) == 0, cell.log()
    (session,) = (Path(line) for line in (cell.folder / "cell.out").read_text().splitlines())
    assert session.parent == cell.sessions
    reader = SessionReader(session)
    assert reader.complete
    seen = [
        result for record in reader.messages(VERDICTS) for result in record.evidence.results
        if record.verdict.action == "PASS"
    ]  # fmt: skip
    assert seen
    for result in seen:
        assert reader.frame(result.camera_id, result.frame_id, result.received_ns) is not None


@pytest.mark.timeout(400)
def test_where_no_part_came_it_says_so(tmp_path: Path, mosquitto: Mosquitto) -> None:
    camera = virtual_camera("--serial", "SIM-0001")
    camera.start()
    try:
        site_file = write_site(tmp_path, camera.address, mosquitto.port, {})
        command = [str(INSPECTOR), "record", str(site_file), "--minutes", "0.01"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    finally:
        camera.kill()
    assert done.returncode == 1, done.stderr
    assert done.stderr.splitlines()[-1].startswith("error: no part was judged")
    assert SessionReader(Path(done.stdout.strip())).complete
