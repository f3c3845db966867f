"""The camera loses its power again and again, under the whole cell: it comes back, and no part goes without.

`INSPECTOR_RESTARTS=20` is the full run, for a machine that does nothing else: then each return is timed too.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from whole_cell import Demo, assert_every_part_judged

from inspector.store.reader import SessionReader
from inspector.topics import VERDICTS
from inspector.types import ResultStatus, VerdictRecord

FULL_RUN = "INSPECTOR_RESTARTS"
RESTARTS = int(os.environ.get(FULL_RUN, "2"))
OUTAGES_S = (0.5, 1.0, 2.0)  # in turn
PARTS_PER_S = 4.0
FIRST = 5
SPACING = 24 if FULL_RUN in os.environ else 48  # parts: 6 or 12 s from one loss of power to the next
PARTS = FIRST + RESTARTS * SPACING
BACK_S = 3.0


def scenario() -> dict[str, Any]:
    return {
        "parts": PARTS,
        "parts_per_s": PARTS_PER_S,
        "belt": {"speed_mm_s": 400, "rejector_mm": 240},
        "sensors": [{"id": "vibration1", "kind": "vibration", "unit": "mm/s", "mean": 1.8, "sigma": 0.1}],
        "disturbances": [
            {"kind": "camera_off", "part": FIRST + turn * SPACING, "for_s": OUTAGES_S[turn % len(OUTAGES_S)]}
            for turn in range(RESTARTS)
        ],
    }


def seen_at(record: VerdictRecord) -> int | None:
    """When the part's frame was exposed; None where no frame of it could be judged."""
    good = [each for each in record.evidence.results if each.status is ResultStatus.OK]
    return good[0].exposure_start_ns if good else None


@pytest.mark.timeout(120 + RESTARTS * SPACING / PARTS_PER_S)
def test_a_camera_that_loses_its_power_comes_back_each_time(
    demo: Callable[..., Demo], tmp_path: Path
) -> None:
    (tmp_path / "power.yaml").write_text(yaml.safe_dump(scenario(), sort_keys=False))
    summary = demo("--scenario", str(tmp_path / "power.yaml"), "--seed", "3").summary()
    assert_every_part_judged(summary, PARTS)
    records = [
        each for each in SessionReader(Path(summary["session"])).messages(VERDICTS) if each.verdict.part_id
    ]
    records.sort(key=lambda each: each.evidence.trigger_ns)
    assert len({each.verdict.part_id for each in records}) == len(records) == PARTS
    back_s = []
    for turn in range(RESTARTS):
        first = FIRST - 1 + turn * SPACING
        following = records[first : first + SPACING]
        blind = [each for each in following if "vision" not in each.verdict.modalities]
        assert blind, "while it had no power"
        assert all(each.verdict.missing and each.verdict.failsafe for each in blind)
        on_ns = following[0].evidence.trigger_ns + round(OUTAGES_S[turn % len(OUTAGES_S)] * 1e9)
        seen = [at_ns for each in following if (at_ns := seen_at(each)) is not None and at_ns > on_ns]
        assert seen, f"it was not back before the next loss of power ({turn + 1} of {RESTARTS})"
        back_s.append((seen[0] - on_ns) / 1e9)
    print("back after", " ".join(f"{each:.2f}" for each in back_s), "s; late:", summary["late"])
    if FULL_RUN in os.environ:
        assert max(back_s) < BACK_S
        assert (summary["late"], summary["escapes"]) == (0, 0)
        assert not any(summary["restarts"].values()), "a camera without power is no crash"
