"""Numbered facts: the only things that an explanation may say. Data; `gather` makes them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from inspector.config import Site
from inspector.explain.recent import CameraDrift
from inspector.types import Action, Verdict


@dataclass(frozen=True, slots=True)
class CameraView:
    """What one camera sees: frame size in pixels (0: unknown) and its scale (None: unknown)."""

    width_px: int = 0
    height_px: int = 0
    mm_per_px: float | None = None


@dataclass(frozen=True, slots=True)
class LineContext:
    """What the site's configuration, and its model's, add to the evidence.

    `thresholds` are the scores from which the model reports a label; one that is not known is not told.
    """

    cameras: Mapping[str, CameraView] = field(default_factory=dict)
    confirm_confidence: float = 0.75
    emergency_urgency: float = 0.8
    thresholds: Mapping[str, float] = field(default_factory=dict)


def line_context(site: Site, thresholds: Mapping[str, float] | None = None) -> LineContext:
    """Return what the site says of its cameras and of its policy, and from which score a label counts.

    A camera whose settings name no Width and Height (SFNC) sees a frame of unknown size; where a
    defect lies is then told in pixels.
    """
    views = {
        camera.id: CameraView(
            width_px=_pixels(camera.settings.get("Width")),
            height_px=_pixels(camera.settings.get("Height")),
            mm_per_px=camera.mm_per_px,
        )
        for camera in site.cameras
    }
    policy = site.site.decision
    return LineContext(
        cameras=views,
        confirm_confidence=policy.confirm_confidence,
        emergency_urgency=policy.emergency_urgency,
        thresholds=thresholds or {},
    )


def _pixels(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


class FactKind(StrEnum):
    DECISION = "DECISION"
    VISION = "VISION"
    ABNORMAL = "ABNORMAL"  # one sensor beyond a limit
    NORMAL = "NORMAL"  # the sensors within their limits
    MISSING = "MISSING"
    TREND = "TREND"  # of the last parts
    DRIFT = "DRIFT"  # of a camera's pictures, or of the scores of its good parts


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number as it is written in a fact, and its unit ("" for none)."""

    number: str
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Fact:
    """One statement. `names` are the sensors, cameras, labels and part ids that stand in `text`.

    `aside` is what code alone says with it, after it; a language model neither reads nor writes it.
    """

    id: int
    kind: FactKind
    text: str
    quantities: tuple[Quantity, ...] = ()
    names: tuple[str, ...] = ()
    aside: str = ""


@dataclass(frozen=True, slots=True)
class AbnormalSensor:
    """A sensor beyond a limit, in safe words. `limit` may be ""; `side` is "above", "below" or ""."""

    name: str
    value: str  # with its unit
    limit: str
    kind: str = ""
    urgency: float = 0.5
    side: str = ""


@dataclass(frozen=True, slots=True)
class Facts:
    """Facts of one verdict, numbered from 1, and their subjects. `abnormal` has the worst first.

    `opening` begins every explanation: who decided is code, so the decision's words are code's too.
    `beside` are facts of which code alone tells, numbered on after the others: see `beside`. `drifts`
    are those of the cameras that judged the part.
    `outage` names a service that was down, or "". `scores` are the labels' highest, `normal` the
    names and kinds of the sensors that have limits and kept them.
    """

    verdict: Verdict
    opening: str
    facts: tuple[Fact, ...]
    labels: tuple[str, ...]
    cameras: tuple[str, ...]
    abnormal: tuple[AbnormalSensor, ...]
    missing: tuple[str, ...]
    outage: str
    scores: tuple[tuple[str, float], ...] = ()
    normal: tuple[tuple[str, str], ...] = ()
    beside: tuple[Fact, ...] = ()
    drifts: tuple[tuple[str, CameraDrift], ...] = ()

    @property
    def names(self) -> frozenset[str]:
        return frozenset(name for fact in self.facts for name in fact.names)

    @property
    def quantities(self) -> frozenset[Quantity]:
        return frozenset(quantity for fact in self.facts for quantity in fact.quantities)

    def of_kind(self, kind: FactKind) -> tuple[Fact, ...]:
        return tuple(fact for fact in self.facts if fact.kind is kind)


DONE = {
    Action.REJECT: "was rejected",
    Action.PASS: "was passed",
    Action.HOLD: "was held for review",
    Action.STOP: "was stopped",
}
"""What became of the part, or at STOP of the line."""
