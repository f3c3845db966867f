"""Power: the lowest mode that holds the limit, counters that wrap, and what is written to the machine."""

from pathlib import Path

import pytest

from inspector.clock import NS_PER_S
from inspector.detect.power.keeper import PowerKeeper
from inspector.detect.power.meter import EnergyMeter, cpu_meter
from inspector.detect.power.modes import PowerModes, cpu_modes, nvpmodel_modes
from inspector.detect.power.policy import CALM_NS, PowerPolicy
from inspector.errors import ConfigError, DeviceError
from inspector.types import FrameResult, ResultStatus

MS = 1_000_000
LIMIT_NS = 100 * MS
NVPMODEL = """
< PARAM TYPE=FILE NAME=CPU_ONLINE >
< POWER_MODEL ID=0 NAME=MAXN >
CPU_ONLINE CORE_0 1
< POWER_MODEL ID=1 NAME=MODE_10W_DESKTOP >
< POWER_MODEL ID=2 NAME=MODE_7W_2CORE >
"""


class Line:
    """A line whose latency depends on the mode, in milliseconds from the lowest mode to the highest."""

    def __init__(self, *latency_ms: float) -> None:
        self.latency_ms = list(latency_ms)
        self.policy = PowerPolicy(len(latency_ms), LIMIT_NS, 0)
        self.now_ns = 0
        self.too_slow = 0

    def run(self, seconds: int) -> int:
        for _ in range(seconds):
            self.now_ns += NS_PER_S
            latency_ns = int(self.latency_ms[self.policy.mode] * MS)
            self.too_slow += latency_ns > LIMIT_NS
            self.policy.observe([latency_ns] * 10, 0, self.now_ns)
        return self.policy.mode


def test_a_calm_line_goes_down_to_the_lowest_mode_that_holds() -> None:
    assert Line(40, 30, 20, 10).run(200) == 0
    assert Line(70, 60, 20, 10).run(200) == 1  # between calm and near: it stays there
    assert Line(200, 60, 60, 60).run(600) == 3


def test_a_mode_that_is_too_slow_is_tried_ever_more_rarely() -> None:
    line = Line(200, 30)
    line.run(3600)
    assert line.policy.mode in {0, 1}
    assert line.too_slow <= 7
    first_hour = line.too_slow
    line.run(3600)
    assert line.too_slow - first_hour <= 2


def test_a_result_near_the_limit_or_a_dropped_frame_goes_to_the_highest_mode_at_once() -> None:
    line = Line(10, 10, 10)
    assert line.run(120) == 0
    assert line.policy.observe([10 * MS] * 9 + [95 * MS], 0, line.now_ns) == 2
    line = Line(10, 10, 10)
    line.run(120)
    assert line.policy.observe([], 1, line.now_ns) == 2


def test_an_idle_line_changes_nothing() -> None:
    policy = PowerPolicy(3, LIMIT_NS, 0)
    for second in range(1, 2 * CALM_NS // NS_PER_S):
        assert policy.observe([], 0, second * NS_PER_S) == 2


def test_energy_is_counted_over_the_counters_end() -> None:
    readings = iter([90.0, 95.0, 3.0])
    meter = EnergyMeter(lambda: next(readings), wraps_at=100.0)
    assert [meter.taken_j(), meter.taken_j()] == [5.0, 8.0]


def test_the_cpus_counter_is_read_from_sysfs(tmp_path: Path) -> None:
    assert cpu_meter(tmp_path / "none") is None
    (tmp_path / "max_energy_range_uj").write_text("262143328850\n")
    (tmp_path / "energy_uj").write_text("1000000\n")
    meter = cpu_meter(tmp_path)
    assert meter is not None
    (tmp_path / "energy_uj").write_text("3500000\n")
    assert meter.taken_j() == pytest.approx(2.5)
    (tmp_path / "energy_uj").unlink()
    with pytest.raises(DeviceError, match="energy_uj"):
        meter.taken_j()


def test_cpu_frequencies_are_written_within_what_the_cpu_can(tmp_path: Path) -> None:
    for number, lowest in ((0, 800), (1, 2600)):
        policy = tmp_path / f"policy{number}"
        policy.mkdir()
        (policy / "cpuinfo_min_freq").write_text(f"{lowest}\n")
        (policy / "cpuinfo_max_freq").write_text("4000\n")
        (policy / "scaling_max_freq").write_text("3000\n")  # left by a detector that was killed
    modes = cpu_modes(tmp_path)
    assert modes is not None
    modes.set_mode(0)
    written = [(tmp_path / f"policy{n}" / "scaling_max_freq").read_text() for n in (0, 1)]
    assert written == ["2000", "2600"]
    modes.set_mode(len(modes.names) - 1)
    assert (tmp_path / "policy0" / "scaling_max_freq").read_text() == "4000"
    assert cpu_modes(tmp_path / "none") is None


def test_jetsons_modes_are_ordered_by_their_watts() -> None:
    commands: list[list[str]] = []
    modes = nvpmodel_modes(NVPMODEL, commands.append)
    assert modes.names == ("MODE_7W_2CORE", "MODE_10W_DESKTOP", "MAXN")
    modes.set_mode(0)
    assert commands == [["nvpmodel", "-m", "2"]]
    with pytest.raises(ConfigError, match=r"detector\.power"):
        nvpmodel_modes("", commands.append)


def result(latency_ms: int, status: ResultStatus = ResultStatus.OK) -> FrameResult:
    return FrameResult(
        camera_id="cam", frame_id=0, exposure_start_ns=0, received_ns=0, model_sha256="", status=status,
        p_defect=0.1, started_ns=0, finished_ns=latency_ms * MS,
    )  # fmt: skip


def test_the_keeper_measures_saves_and_leaves_the_machine_as_it_was() -> None:
    set_to: list[int] = []
    energy = iter(float(joules) for joules in range(0, 10_000, 20))
    keeper = PowerKeeper(
        [EnergyMeter(lambda: next(energy))], PowerModes(("low", "high"), set_to.append), LIMIT_NS, 0
    )
    for second in range(1, 40):
        for _ in range(10):
            keeper.note(result(10))
        keeper.step(second * NS_PER_S)
    assert keeper.joules_per_frame == pytest.approx(2.0)
    assert (keeper.new_millijoules(), keeper.new_millijoules()) == (39 * 20_000, 0)
    assert (set_to, keeper.mode) == ([1, 0], "low")
    keeper.note(result(0, ResultStatus.DROPPED))
    keeper.step(41 * NS_PER_S)
    assert (set_to, keeper.mode) == ([1, 0, 1], "high")
    keeper.close()
    assert set_to[-1] == 1
