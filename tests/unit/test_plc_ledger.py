"""What an arbiter that was killed leaves behind: every part that was open, every verdict that it gave."""

import mmap
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inspector.errors import ConfigError
from inspector.plc.ledger import SLOT_BYTES, SLOTS, Ledger
from inspector.plc.outbox import Kind
from inspector.plc.outbox_file import Put
from inspector.types import JudgedPart, PartTrigger, Quality, SensorEvent

OFFSET_NS = 1_700_000_000_000_000_000
HOUR_NS = 3_600_000_000_000


def trigger(part: int) -> PartTrigger:
    return PartTrigger(part_id=f"P{part}", seq=part, trigger_ns=part * 1000, received_ns=part * 1000 + 5)


def put(part: int) -> Put:
    return Put(
        key=part,
        kind=Kind.VERDICT,
        payload=f'{{"part_id":"P{part}","seq":{part},"trigger_utc_ns":{OFFSET_NS + part * 1000}}}',
        verdict_id=f"v{part}",
        part_id=f"P{part}",
        valid_until_utc_ns=OFFSET_NS + part,
    )


def estop() -> SensorEvent:
    return SensorEvent(
        sensor_id="estop", kind="emergency_stop", value=1.0, unit="", quality=Quality.GOOD, urgency=0.95,
        seq=1, observed_ns=5, received_ns=6,
    )  # fmt: skip


def test_what_was_open_and_what_was_judged_is_there_after_a_kill(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path, OFFSET_NS)  # never closed: a killed process does not close either
    for part in (1, 2, 3):
        ledger.opened(trigger(part), OFFSET_NS)
    ledger.judged(put(2))
    ledger.latch(estop())
    left = Ledger(tmp_path, OFFSET_NS).left
    assert left.opened == (trigger(1), trigger(3))
    assert left.judged == (JudgedPart(part_id="P2", trigger_ns=2000),)
    assert left.verdicts == (put(2),)
    assert left.seq == 2
    assert left.latched_by == estop()


def test_a_reset_is_not_undone_by_a_restart(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path, OFFSET_NS)
    ledger.latch(estop())
    ledger.latch(None)
    assert Ledger(tmp_path, OFFSET_NS).left.latched_by is None


def test_a_stop_outlives_the_arbiter_beside_an_emergency(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path, OFFSET_NS)
    ledger.stop(True)
    ledger.latch(estop())
    ledger = Ledger(tmp_path, OFFSET_NS)
    assert ledger.left.stopped
    ledger.latch(None)
    assert Ledger(tmp_path, OFFSET_NS).left.stopped
    ledger.stop(False)
    assert not Ledger(tmp_path, OFFSET_NS).left.stopped


@pytest.mark.parametrize("notes", [2, 3])
def test_a_torn_note_leaves_the_one_before_it(tmp_path: Path, notes: int) -> None:
    ledger = Ledger(tmp_path, OFFSET_NS)
    for _ in range(notes):
        ledger.latch(estop())
    ledger.sync()
    ledger.close()
    for slot in (0, SLOTS + 1):
        text = bytearray((tmp_path / "ledger").read_bytes())
        text[slot * SLOT_BYTES + 20] ^= 0xFF
        torn = tmp_path / f"torn{slot}"
        torn.mkdir()
        (torn / "ledger").write_bytes(text)
        assert Ledger(torn, OFFSET_NS).left.latched_by == estop()


def test_after_a_reboot_times_are_on_the_new_clock(tmp_path: Path) -> None:
    Ledger(tmp_path, OFFSET_NS).opened(trigger(1), OFFSET_NS)
    (opened,) = Ledger(tmp_path, OFFSET_NS + HOUR_NS).left.opened
    assert opened.trigger_ns == 1000 - HOUR_NS


def test_the_ring_goes_round_and_over_restarts(tmp_path: Path) -> None:
    for start in range(0, SLOTS + 600, 300):
        ledger = Ledger(tmp_path, OFFSET_NS)
        for part in range(start, start + 300):
            ledger.opened(trigger(part), OFFSET_NS)
            ledger.judged(put(part))
        ledger.opened(trigger(999_999), OFFSET_NS)
        ledger.close()
    left = Ledger(tmp_path, OFFSET_NS).left
    assert [part.part_id for part in left.opened] == ["P999999"]
    assert left.judged[-1].part_id == f"P{start + 299}"
    assert len(left.judged) >= SLOTS // 2 - 10


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None)
@given(
    damage=st.lists(st.tuples(st.integers(0, 5 * SLOT_BYTES), st.binary(min_size=1, max_size=50)), max_size=4)
)
def test_damage_costs_only_the_slots_that_it_hits(
    tmp_path_factory: pytest.TempPathFactory, damage: list[tuple[int, bytes]]
) -> None:
    folder = tmp_path_factory.mktemp("ledger")
    ledger = Ledger(folder, OFFSET_NS)
    for part in range(1, 8):
        ledger.opened(trigger(part), OFFSET_NS)
    ledger.close()
    with (folder / "ledger").open("r+b") as file, mmap.mmap(file.fileno(), 0) as memory:
        for at, junk in damage:
            memory[at : at + len(junk)] = junk
    left = Ledger(folder, OFFSET_NS).left
    assert {part.part_id for part in left.opened} <= {f"P{part}" for part in range(1, 8)}
    assert {"P6", "P7"} <= {part.part_id for part in left.opened}


def test_a_folder_that_cannot_be_used_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"cannot use .*file"):
        Ledger(tmp_path / "file", OFFSET_NS)
