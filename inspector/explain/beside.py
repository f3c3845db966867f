"""What code tells beside a verdict: how the last parts were, and that pictures drift. Pure.

These facts have numbers of their own after the others, and each is a sentence that code adds to what people
read. The language model is not told of them and cannot write them: they change with every part, and an
explanation that is used again for the same incident would be out of date (docs/decisions/057).
"""

from inspector.explain.draft import Draft
from inspector.explain.facts import DONE, FactKind, Quantity
from inspector.explain.names import safe_name
from inspector.explain.recent import CameraDrift, Recent
from inspector.types import Action, ReasonCode, Verdict

FEWEST = 10
"""Parts before anything is said of them."""
_REPEATED = 2
_JUDGED_BY_SIGHT = (ReasonCode.DEFECT, ReasonCode.LOW_CONFIDENCE)


def trend_fact(verdict: Verdict, recent: Recent, subjects: tuple[str, ...]) -> list[Draft]:
    """Return how many of the last parts ended as this one, which is the newest of them, and of its cause.

    None unless it is one of several. `subjects` are the labels and sensors of which the other facts tell;
    another cause is not named.
    """
    last = recent.parts
    same = [part for part in last if part.action is verdict.action]
    if verdict.action not in (Action.REJECT, Action.HOLD) or len(last) < FEWEST or len(same) < _REPEATED:
        return []
    numbers = [str(len(same)), str(len(last))]
    text = f"{numbers[0]} of the last {numbers[1]} parts were {DONE[verdict.action].removeprefix('was ')}"
    cause = safe_name(verdict.cause)
    alike = sum(part.cause == verdict.cause for part in same)
    names: tuple[str, ...] = ()
    if cause in subjects and alike >= _REPEATED:
        numbers.append(str(alike))
        text += f", {alike} of them for {cause}"
        names = (cause,)
    return [Draft(FactKind.TREND, text, tuple(Quantity(number) for number in numbers), names)]


def drifts_of(
    verdict: Verdict, recent: Recent, cameras: tuple[str, ...]
) -> tuple[tuple[str, CameraDrift], ...]:
    """Return the drift of those `cameras` that judged the part, by their names in facts."""
    if verdict.reason_code not in _JUDGED_BY_SIGHT:
        return ()
    named = ((safe_name(camera_id), drift) for camera_id, drift in sorted(recent.drifts.items()))
    return tuple((camera, drift) for camera, drift in named if camera in cameras)


def drift_facts(drifts: tuple[tuple[str, CameraDrift], ...]) -> list[Draft]:
    """Return a fact of each camera's pictures, and one of its scores."""
    drafts: list[Draft] = []
    for camera, drift in drifts:
        changed, told = pictures_changed(camera, drift), shares(drift)
        if changed:
            figures = "".join(f", {name} {share} %" for name, share in told)
            quantities = tuple(Quantity(str(share), "%") for _, share in told)
            drafts.append(Draft(FactKind.DRIFT, f"P{changed[1:]}{figures}", quantities, (camera,)))
        if drift.margin is not None:
            text = f"Good parts of {camera} drift, {drift.margin} % of their margin is used up"
            drafts.append(Draft(FactKind.DRIFT, text, (Quantity(str(drift.margin), "%"),), (camera,)))
    return drafts


def shares(drift: CameraDrift) -> list[tuple[str, int]]:
    """Return light and focus as far as they drift, in percent of those at teach-in."""
    both = (("light", drift.light), ("focus", drift.focus))
    return [(name, share) for name, share in both if share is not None]


def pictures_changed(camera: str, drift: CameraDrift) -> str:
    """Return in which way the pictures of `camera` differ from those at teach-in, or ""."""
    ways = [_WAYS[name][share > 100] for name, share in shares(drift)]
    return f"pictures of {camera} are {' and '.join(ways)} than at teach-in" if ways else ""


_WAYS = {"light": ("darker", "brighter"), "focus": ("softer", "sharper or noisier")}
