"""The broker goes away in the middle of a run: dead for five seconds, then frozen for a while."""

import threading
from collections.abc import Callable
from pathlib import Path

from brokers import Mosquitto
from whole_cell import Demo, assert_every_part_judged

PARTS = 45
# Four parts a second, and no defects: whatever is not passed was not judged in time.
SCENARIO = f"""
parts: {PARTS}
parts_per_s: 4.0
defect_rate: 0.0
belt: {{speed_mm_s: 400, rejector_mm: 240}}
sensors:
  - {{id: vibration1, kind: vibration, unit: mm/s, mean: 1.8, sigma: 0.15, lead_ms: 8}}
  - {{id: gripper1, kind: gripper_force, unit: N, mean: 42.0, sigma: 0.8, lead_ms: 10}}
"""


def test_nothing_blocks_is_lost_or_is_delivered_stale(
    demo: Callable[..., Demo], mosquitto: Mosquitto, tmp_path: Path
) -> None:
    scenario = tmp_path / "line.yaml"
    scenario.write_text(SCENARIO)
    run = demo("--broker", f"127.0.0.1:{mosquitto.port}", "--scenario", str(scenario), "--seed", "5")
    run.wait_for(lambda line: line.startswith("P000003"))
    mosquitto.kill()
    back = threading.Timer(5.0, mosquitto.start)
    back.start()
    run.wait_for(lambda line: line.startswith("P0000") and " PASS " in line)
    back.join()
    mosquitto.pause()
    thawed = threading.Timer(1.5, mosquitto.resume)
    thawed.start()
    summary = run.summary()
    thawed.join()
    said = "\n".join(run.lines)
    assert summary["verdicts"] == PARTS, said
    assert_every_part_judged(summary, PARTS)
    assert summary["stale"] == 0, said
    # Whatever came too late for the PLC came as a notice that nobody acts on, or as the failsafe.
    assert 20 <= summary["late"] < PARTS - 5, said
    assert summary["undelivered"] > 15, said
    # Good parts were held for want of a trigger or a picture in time, and for nothing else.
    want = ("its trigger came after the deadline", "There is no data from vision.cam1")
    assert summary["overkill"] <= sum(any(words in line for words in want) for line in run.lines), said
    assert summary["explanations"] == summary["explanations_expected"], said
    # Nothing waited for the broker: no service was restarted, every frame was taken and judged.
    assert set(summary["restarts"].values()) == {0}
    assert summary["frames_lost"] == 0
    passed = [line for line in run.lines if line.startswith("P0000") and " PASS " in line]
    assert passed[-1].startswith(f"P{PARTS:06d}"), said
