"""Power: the lowest mode that holds the limit, counters that wrap, and what is written to the machine."""

import sys
from pathlib import Path
from types import ModuleType

import pytest

from inspector.clock import NS_PER_S
from inspector.detect.power.keeper import PowerKeeper
from inspector.detect.power.meter import EnergyMeter, cpu_meter, gpu_meter
from inspector.detect.power.modes import PowerModes, cpu_modes, gpu_modes, nvpmodel_modes
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


class Nvml(ModuleType):
    """pynvml on a machine with one GPU, or without a driver."""

    class NVMLError(Exception):
        pass

    def __init__(self, *, driver: bool = True) -> None:
        super().__init__("pynvml")
        self.driver = driver
        self.millijoules = 1000
        self.limit = 450_000
        self.root = False

    def nvmlInit(self) -> None:  # noqa: N802 - these are NVML's names
        if not self.driver:
            raise Nvml.NVMLError("Driver Not Loaded")

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:  # noqa: N802
        return index

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: int) -> int:  # noqa: N802
        del handle
        if self.millijoules < 0:
            raise Nvml.NVMLError("Not Supported")
        return self.millijoules

    def nvmlDeviceGetPowerManagementLimitConstraints(self, handle: int) -> list[int]:  # noqa: N802
        del handle
        return [300_000, 600_000]

    def nvmlDeviceGetPowerManagementDefaultLimit(self, handle: int) -> int:  # noqa: N802
        del handle
        return 450_000

    def nvmlDeviceSetPowerManagementLimit(self, handle: int, limit: int) -> None:  # noqa: N802
        del handle
        if not self.root:
            raise Nvml.NVMLError("Insufficient Permissions")
        self.limit = limit


def test_the_gpus_energy_is_counted_in_joules(monkeypatch: pytest.MonkeyPatch) -> None:
    nvml = Nvml()
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    meter = gpu_meter()
    assert meter is not None
    nvml.millijoules = 3500
    assert meter.taken_j() == pytest.approx(2.5)
    nvml.millijoules = -1
    with pytest.raises(DeviceError, match="NVML: Not Supported"):
        meter.taken_j()
    assert gpu_meter() is None  # older than Volta


def test_the_gpus_modes_lie_between_its_lowest_and_its_default_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    nvml = Nvml()
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    modes = gpu_modes()
    assert modes is not None
    assert modes.names == ("300 W", "360 W", "450 W")
    with pytest.raises(DeviceError, match=r"Insufficient Permissions.*root"):
        modes.set_mode(0)
    nvml.root = True
    modes.set_mode(0)
    assert nvml.limit == 300_000
    modes.set_mode(2)
    assert nvml.limit == 450_000


@pytest.mark.parametrize("nvml", [None, Nvml(driver=False)])
def test_without_nvml_nothing_is_metered_and_no_mode_is_offered(
    monkeypatch: pytest.MonkeyPatch, nvml: ModuleType | None
) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    assert gpu_meter() is None
    assert gpu_modes() is None


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
