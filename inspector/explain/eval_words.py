"""Names, limits and causes from which the cases of `inspector explain eval` are drawn. Data."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of sensor: a normal reading and its limits, above the normal range or below it.

    `id` is that of a sensor of the site; "" has one made up for each incident.
    """

    name: str
    unit: str
    normal: float
    warn: float
    alarm: float
    id: str = ""

    @property
    def high(self) -> bool:
        """Whether the limits lie above the normal range."""
        return self.warn > self.normal


SENSORS = (
    Kind("clamp_force", "N", 820.0, 700.0, 620.0),
    Kind("weld_current", "A", 182.0, 205.0, 220.0),
    Kind("melt_temperature", "degC", 231.0, 244.0, 252.0),
    Kind("coolant_flow", "l/min", 14.2, 11.0, 9.0),
    Kind("vacuum", "kPa", 64.0, 52.0, 45.0),
    Kind("belt_speed", "m/s", 0.42, 0.47, 0.52),
    Kind("humidity", "%", 44.0, 60.0, 70.0),
    Kind("nozzle_pressure", "bar", 6.1, 5.2, 4.6),
    Kind("motor_torque", "Nm", 3.4, 4.6, 5.3),
    Kind("ambient_light", "lx", 890.0, 640.0, 500.0),
    Kind("axis_vibration", "mm/s", 1.7, 4.5, 7.1),
    Kind("adhesive_mass", "g", 2.31, 2.02, 1.84),
)

LABELS = (
    "blister",
    "porosity",
    "flash",
    "short_shot",
    "cold_weld",
    "chipped_edge",
    "discoloration",
    "fibre",
    "misprint",
    "bent_tab",
    "open_seam",
    "sink_mark",
    "stain",
    "burn_mark",
)

CAUSES = (
    ("worn ejector pins", "Replace the ejector pins and clean the cavity"),
    ("air leak in the hose of the suction cups", "Replace the hose and check the cups for cracks"),
    ("blocked filter in the supply", "Clean or change the filter and read the flow again"),
    ("slipping clamp after the change of tool", "Tighten the clamp to its torque and run three trial parts"),
    ("moist granulate", "Dry the granulate for four hours and start a new batch"),
    ("drifting controller of the heating zone", "Tune the controller and check the thermocouple"),
    ("loose belt of the drive", "Tension the belt and check its wear"),
    ("dirty lens or lamp", "Clean the lens and the lamp and take a reference picture"),
    ("wrong recipe after the change of product", "Load the recipe of the product and release it again"),
    ("electrode at the end of its life", "Change the electrode and reset its counter"),
    ("bearing without grease", "Grease the bearing and watch it for one shift"),
    ("expired adhesive", "Change the cartridge and write down its batch"),
    ("misaligned guide rail", "Align the rail with the gauge"),
    ("empty reservoir", "Fill the reservoir and bleed the line"),
)


@dataclass(frozen=True, slots=True)
class Words:
    """What incidents are made of: four kinds and labels or more, seven causes with their actions or more."""

    sensors: tuple[Kind, ...]
    labels: tuple[str, ...]
    causes: tuple[tuple[str, str], ...]
    cameras: tuple[str, ...]


EVAL_WORDS = Words(SENSORS, LABELS, CAUSES, ("cam_left", "cam2", "topcam", "station4.cam"))
"""Nothing is ever tuned on these."""
