"""Names, limits and causes of the incidents that a model is tuned on. Data.

None of them is in `eval_words`, so that what is measured there was never seen in tuning: neither its
combinations nor its words.
"""

from inspector.explain.eval_words import Kind, Words

_SENSORS = (
    Kind("vibration", "mm/s", 1.8, 4.5, 7.1),
    Kind("temperature", "degC", 41.0, 60.0, 75.0),
    Kind("gripper_force", "N", 42.0, 33.0, 28.0),
    Kind("spindle_load", "%", 55.0, 85.0, 95.0),
    Kind("air_inlet", "bar", 5.6, 4.2, 3.6),
    Kind("oil_level", "mm", 118.0, 80.0, 65.0),
    Kind("laser_power", "W", 1450.0, 1380.0, 1310.0),
    Kind("wire_feed", "m/min", 8.2, 9.4, 10.1),
    Kind("gas_flow", "l/min", 15.5, 12.5, 10.5),
    Kind("press_force", "kN", 212.0, 240.0, 255.0),
    Kind("mould_temp", "K", 352.0, 366.0, 374.0),
    Kind("hydraulic_pressure", "MPa", 17.6, 15.4, 14.1),
    Kind("servo_current", "A", 3.15, 4.05, 4.7),
    Kind("paint_viscosity", "mPas", 240.0, 310.0, 350.0),
    Kind("oven_humidity", "g/kg", 4.8, 7.5, 9.2),
    Kind("torque", "Ncm", 78.5, 64.0, 55.5),
    Kind("particle_count", "pcs", 350.0, 1200.0, 2600.0),
    Kind("line_speed", "m/min", 22.4, 26.0, 28.5),
    Kind("tank_ph", "pH", 7.1, 8.2, 8.9),
    Kind("solder_temp", "degC", 248.0, 236.0, 229.0),
    Kind("sound_level", "dB", 71.0, 82.0, 88.0),
    Kind("tape_tension", "N", 12.4, 9.8, 8.1),
    Kind("leak_rate", "ml/min", 0.41, 0.92, 1.35),
    Kind("position_error", "um", 6.0, 18.0, 26.0),
)
_LABELS = (
    "scratch",
    "dent",
    "crack",
    "burr",
    "contamination",
    "missing_screw",
    "solder_bridge",
    "cold_joint",
    "tombstone",
    "void",
    "wrinkle",
    "delamination",
    "pinhole",
    "orange_peel",
    "undercut",
    "spatter",
    "tool_mark",
    "corrosion",
    "broken_pin",
    "label_skewed",
    "glue_overflow",
    "thread_damage",
    "weld_gap",
    "hair",
    "bubble",
    "anomaly",
)
_CAUSES = (
    ("worn gripper pads", "Change the pads"),
    ("loose fixture", "Tighten the fixture"),
    ("dull tool", "Change the tool"),
    ("oil on the sheet", "Clean the feeder"),
    ("wrong paste", "Check the batch of the paste"),
    ("dirty nozzle", "Clean the nozzle"),
    ("late release of the mould", "Check the valve of the ejector"),
)
_CAMERAS = ("cam1", "cam_top", "front.cam", "cam-3", "left_cam2", "linescan1", "Kamera_4", "st2.top")

TUNE_WORDS = Words(_SENSORS, _LABELS, _CAUSES, _CAMERAS)
"""Made-up sites in general, and the names of the simulated line."""
