"""How the line has been of late: the outcome of the last parts, and which pictures drift. Pure.

Frozen data, so that a part that waits for the language model keeps what was so when it was judged.
A service that starts begins with nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from inspector.types import Action, Health, Verdict

WINDOW = 20
"""Parts that are remembered."""
_DETECTOR = "detector"
_LIGHT, _FOCUS, _SCORE = "light_drifting_", "focus_drifting_", "drifting_"
"""The detector's counters: 1 while it is drift, before the camera's id."""


@dataclass(frozen=True, slots=True)
class PastPart:
    """`cause` is the verdict's: "", or the label or sensor that decided it."""

    action: Action
    cause: str


@dataclass(frozen=True, slots=True)
class CameraDrift:
    """One camera's drift in percent, None where there is none.

    `light` and `focus` of the pictures are 100 as at teach-in; `margin` is how much of that between a
    typical good part and the threshold is used up.
    """

    light: int | None = None
    focus: int | None = None
    margin: int | None = None


@dataclass(frozen=True, slots=True)
class Recent:
    """The last WINDOW parts, the newest last, and the cameras with drift."""

    parts: tuple[PastPart, ...] = ()
    drifts: Mapping[str, CameraDrift] = field(default_factory=dict)

    def with_part(self, verdict: Verdict) -> "Recent":
        """Return this and one verdict more. An emergency of the line itself is no part."""
        if not verdict.part_id:
            return self
        return replace(self, parts=(*self.parts, PastPart(verdict.action, verdict.cause))[-WINDOW:])

    def with_health(self, health: Health) -> "Recent":
        """Return this with the drift of which the detector's heartbeat tells; others' say nothing of it."""
        if health.service != _DETECTOR:
            return self
        drifts: dict[str, CameraDrift] = {}
        for prefix, told, percent in (
            (_LIGHT, "light", "light_percent_"),
            (_FOCUS, "focus", "focus_percent_"),
            (_SCORE, "margin", "drift_percent_"),
        ):
            for name, drifting in health.counters.items():
                camera = name.removeprefix(prefix)
                if drifting and camera != name:
                    share = round(health.counters.get(percent + camera, 0.0))
                    drifts[camera] = replace(drifts.get(camera, CameraDrift()), **{told: share})
        return replace(self, drifts=drifts)


NOTHING_RECENT = Recent()
