"""What happens on the line: one YAML file, checked and frozen. Errors name the file and the key."""

from collections import Counter
from importlib import resources
from pathlib import Path
from typing import Annotated, Literal

import yaml
from msgspec import Meta
from msgspec.structs import replace

from inspector.errors import ConfigError
from inspector.strict_data import Strict, check
from inspector.wrong_value import WrongValueError
from line_sim.parts import ALL_DEFECTS, DefectKind

Name = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}\Z")]
Probability = Annotated[float, Meta(ge=0.0, le=1.0)]
Positive = Annotated[float, Meta(gt=0.0)]

MAX_LEAD_MS = 40.0  # below half the time between parts, so that a reading belongs to one part


class Folder(Strict, frozen=True, kw_only=True):
    """Two folders of photographs: which one a picture is in is its ground truth."""

    good: Path
    defect: Path


class Source(Strict, frozen=True, kw_only=True):
    """Where pictures come from. Without `folder` they are rendered."""

    folder: Folder | None = None


class Camera(Strict, frozen=True, kw_only=True):
    """The virtual camera. Size in pixels; with photographs their most common size is taken.

    `views` cameras look at each part, from different sides, on addresses that follow each other.
    """

    width_px: Annotated[int, Meta(ge=96, le=4096, multiple_of=2)] = 640
    height_px: Annotated[int, Meta(ge=96, le=4096, multiple_of=2)] = 480
    packet_bytes: Annotated[int, Meta(ge=576, le=9000, multiple_of=4)] = 1500
    link_mbit_per_s: Positive | None = 1000.0
    packet_loss: Probability = 0.0
    frame_loss: Probability = 0.0
    views: Annotated[int, Meta(ge=1, le=4)] = 1


class Belt(Strict, frozen=True, kw_only=True):
    """`rejector_mm` is the way from the photo-eye to the rejector."""

    speed_mm_s: Positive = 200.0
    rejector_mm: Positive = 120.0
    encoder_ticks_per_mm: Positive = 10.0


class SensorModel(Strict, frozen=True, kw_only=True):
    """A sensor whose normal readings scatter by `sigma` around `mean`, in its unit.

    It gives a reading every `period_s`, and one `lead_ms` before each part reaches the photo-eye.
    One that `holds` (an emergency button) keeps an anomalous value until the reset, and says
    nothing meanwhile.
    """

    id: Name
    kind: Name
    unit: Annotated[str, Meta(max_length=16)]
    mean: float
    sigma: Annotated[float, Meta(ge=0.0)] = 0.0
    period_s: Positive = 0.2
    lead_ms: Annotated[float, Meta(ge=0.5, le=MAX_LEAD_MS)] = 8.0
    holds: bool = False


class Anomaly(Strict, frozen=True, kw_only=True):
    """Readings that are not normal.

    At `part` and the `count - 1` parts after it, or at a share of the defective parts (of
    `kinds`, all kinds when left out). It replaces the part's own reading; with `after_ms` it is
    one more reading, so long after the part reached the photo-eye.
    """

    sensor: Name
    value: float
    part: Annotated[int, Meta(ge=1)] | None = None
    count: Annotated[int, Meta(ge=1)] = 1
    share_of_defects: Probability | None = None
    kinds: tuple[DefectKind, ...] = ()
    after_ms: Annotated[float, Meta(ge=0.0)] | None = None
    urgency: Probability | None = None
    quality: Literal["GOOD", "UNCERTAIN", "BAD"] | None = None

    def __post_init__(self) -> None:
        if (self.part is None) == (self.share_of_defects is None):
            raise ValueError("give either part or share_of_defects")


FaultKind = Literal[
    "drop_reading",
    "malformed_reading",
    "late_reading",
    "no_frame",
    "late_trigger",
    "duplicate_trigger",
    "malformed_trigger",
    "no_ack",
]


class Fault(Strict, frozen=True, kw_only=True):
    """Something that goes wrong on the line's side at `part` and the `count - 1` parts after it.

    `drop_reading`, `malformed_reading` and `late_reading` need `sensor`; `late_reading` and
    `late_trigger` need `delay_ms`. `no_frame`: the camera misses its trigger.
    `malformed_trigger`: one more trigger message, unreadable, before the right one.
    """

    kind: FaultKind
    part: Annotated[int, Meta(ge=1)]
    count: Annotated[int, Meta(ge=1)] = 1
    sensor: Name | None = None
    delay_ms: Annotated[float, Meta(gt=0.0, le=10_000.0)] | None = None

    def __post_init__(self) -> None:
        if self.kind.endswith("_reading") != (self.sensor is not None):
            raise ValueError(f"{self.kind}: sensor is for faults of a reading, and needed there")
        if self.kind.startswith("late_") != (self.delay_ms is not None):
            raise ValueError(f"{self.kind}: delay_ms is for late_* faults, and needed there")


_NEEDS: dict[str, str] = {
    "broker_slow": "delay_ms",
    "packet_loss": "share",
    "clock_jump": "jump_ms",
    "plc_clock": "jump_ms",
    "clock_drift": "drift_ppm",
    "sensor_storm": "sensor",
    "kill": "service",
    "stall": "service",
    "memory_short": "service",
}


DisturbanceKind = Literal[
    "broker_down",
    "broker_frozen",
    "broker_slow",
    "camera_off",
    "camera_unplugged",
    "packet_loss",
    "clock_jump",
    "clock_drift",
    "plc_clock",
    "sensor_storm",
    "kill",
    "stall",
    "memory_short",
    "disk_full",
]


class Disturbance(Strict, frozen=True, kw_only=True):
    """Something that happens around the line when `part` is at the photo-eye, for `for_s` seconds.

    `broker_down`: connections break, new ones are refused; `broker_frozen`: they stay and nothing
    passes; `broker_slow`: all passes `delay_ms` late. `camera_off`: it reboots; `camera_unplugged`:
    its cable; `packet_loss`: a `share` of its packets; `clock_jump`, `clock_drift`: its clock;
    `plc_clock`: the PLC's. `sensor_storm`: `rate_hz` readings more of `sensor`. `kill`, `stall`,
    `memory_short`: a `service` of the cell ends at once, stands still, can have no more than `mib`
    more memory. `disk_full`: nothing more can be recorded.
    """

    kind: DisturbanceKind
    part: Annotated[int, Meta(ge=1)]
    for_s: Annotated[float, Meta(ge=0.0, le=600.0)] = 1.0
    delay_ms: Annotated[float, Meta(gt=0.0, le=10_000.0)] | None = None
    jump_ms: Annotated[float, Meta(ge=-60_000.0, le=60_000.0)] | None = None
    drift_ppm: Annotated[float, Meta(ge=-1000.0, le=1000.0)] | None = None
    share: Probability | None = None
    sensor: Name | None = None
    rate_hz: Annotated[float, Meta(gt=0.0, le=20_000.0)] = 5000.0
    service: Name | None = None
    mib: Annotated[int, Meta(ge=0, le=65_536)] = 8

    def __post_init__(self) -> None:
        for key in sorted(set(_NEEDS.values())):
            if (getattr(self, key) is not None) != (_NEEDS.get(self.kind) == key):
                users = " and ".join(kind for kind, needed in _NEEDS.items() if needed == key)
                raise ValueError(f"{self.kind}: {key} is for {users}, and needed there")


class Scenario(Strict, frozen=True, kw_only=True):
    """Everything that a run of the line depends on besides its seed. Parts count from `first_part`."""

    description: str = ""
    parts: Annotated[int, Meta(ge=1, le=100_000)] | None = None
    first_part: Annotated[int, Meta(ge=1, le=900_000)] = 1
    parts_per_s: Annotated[float, Meta(gt=0.0, le=200.0)] = 2.0
    defect_rate: Probability = 0.15
    defects: Annotated[tuple[DefectKind, ...], Meta(min_length=1)] = ALL_DEFECTS
    source: Source = Source()
    camera: Camera = Camera()
    belt: Belt = Belt()
    sensors: tuple[SensorModel, ...] = ()
    anomalies: tuple[Anomaly, ...] = ()
    faults: tuple[Fault, ...] = ()
    disturbances: tuple[Disturbance, ...] = ()
    reset_after_s: Annotated[float, Meta(gt=0.0, le=600.0)] = 1.5

    def __post_init__(self) -> None:
        counts = Counter(sensor.id for sensor in self.sensors)
        if twice := [name for name, n in counts.items() if n > 1]:
            raise WrongValueError(f"two have the id {twice[0]}", "sensors")
        named: list[tuple[str, int, str | None]] = []
        named += (("anomalies", i, anomaly.sensor) for i, anomaly in enumerate(self.anomalies))
        named += (("faults", i, fault.sensor) for i, fault in enumerate(self.faults))
        named += (("disturbances", i, each.sensor) for i, each in enumerate(self.disturbances))
        for key, index, sensor in named:
            if sensor is not None and sensor not in counts:
                raise WrongValueError(f"there is no sensor {sensor!r}", key, index, "sensor")
        if self.source.folder is None and self.parts is None:
            raise WrongValueError("needed, unless source.folder gives the pictures", "parts")
        if self.source.folder is not None and self.first_part != 1:
            raise WrongValueError("photographs count from 1", "first_part")


def scenario_names() -> list[str]:
    """Names of the scenarios that come with the simulator."""
    folder = resources.files("line_sim") / "scenarios"
    return sorted(f.name.removesuffix(".yaml") for f in folder.iterdir() if f.name[-5:] == ".yaml")


def load_scenario(name_or_path: str, images: Path | None = None) -> Scenario:
    """Read a scenario by its name or the path of its file.

    Relative folders of photographs are looked for in `images`, or else beside the file.
    Raises ConfigError with one line that names the file and the key.
    """
    if name_or_path in scenario_names():
        path = Path(str(resources.files("line_sim") / "scenarios" / f"{name_or_path}.yaml"))
    else:
        path = Path(name_or_path)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        known = ", ".join(scenario_names())
        raise ConfigError(
            f"scenario {name_or_path}: cannot be read; give a file or one of: {known}"
        ) from error
    scenario = parse_scenario(text, str(path))
    folder = scenario.source.folder
    if folder is None:
        if images is not None:
            raise ConfigError(f"{path}: source.folder: missing, so --images has no use; leave it")
        return scenario
    root = images if images is not None else path.parent
    placed = Folder(good=_subfolder(root, folder.good), defect=_subfolder(root, folder.defect))
    return replace(scenario, source=Source(folder=placed))


def _subfolder(root: Path, name: Path) -> Path:
    """`root`/good, or `root`/test_good where data sets split their images that way."""
    split = root / f"test_{name}"
    return split if not (root / name).is_dir() and split.is_dir() else root / name


def parse_scenario(text: str, origin: str) -> Scenario:
    """Check a scenario's YAML text. `origin` is the file's name for messages. Raises ConfigError."""
    try:
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark is not None else ""
        problem = getattr(error, "problem", None) or "not YAML"
        raise ConfigError(f"{origin}{line}: {problem}") from error
    if not isinstance(data, dict):
        raise ConfigError(f"{origin}: must be a mapping of keys, such as 'parts: 60'")
    try:
        return check(data, Scenario)
    except WrongValueError as error:
        raise ConfigError(f"{origin}: {error}") from error
