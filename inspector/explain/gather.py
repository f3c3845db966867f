"""Evidence and verdict to numbered facts. Pure."""

from inspector.explain.beside import drift_facts, drifts_of, trend_fact
from inspector.explain.draft import Draft
from inspector.explain.facts import DONE, Fact, FactKind, Facts, LineContext, Quantity
from inspector.explain.names import number, safe_name, safe_phrase
from inspector.explain.recent import NOTHING_RECENT, Recent
from inspector.explain.seen import label_scores, labels_and_cameras, vision_facts
from inspector.explain.sensed import abnormal_fact, describe, normal_fact, normal_sensors, rank_abnormal
from inspector.types import Action, ReasonCode, Verdict, VerdictRecord

MAX_MISSING = 4


def gather(record: VerdictRecord, context: LineContext, recent: Recent = NOTHING_RECENT) -> Facts:
    """Return the facts of `record`, the decision first. `recent` is the line with this part as its newest."""
    verdict, evidence = record.verdict, record.evidence
    labels, cameras = labels_and_cameras(evidence)
    abnormal = rank_abnormal(evidence, verdict)
    everything_missing = dict.fromkeys(verdict.missing + evidence.missing)
    missing = tuple(safe_name(name) for name in everything_missing)[:MAX_MISSING]
    # An outage is the arbiter's word in `cause` for what took the evidence: "camera.cam1 down", "clock of
    # cam1 unknown".
    outage = safe_phrase(verdict.cause) if verdict.cause.endswith((" down", " unknown")) else ""
    drafts = [_decision(verdict, context), *vision_facts(evidence, context)]
    drafts += [abnormal_fact(event, context) for event in abnormal]
    drafts += normal_fact(evidence, abnormal)
    if missing:
        text = f"no data from {', '.join(missing)}" + (f", {outage}" if outage else "")
        subject = outage.removesuffix(" down").removesuffix(" unknown").removeprefix("clock of ")
        service = (safe_name(subject),) if outage else ()
        drafts.append(Draft(FactKind.MISSING, text, names=(*missing, *service)))
    described = tuple(describe(event, context) for event in abnormal)
    drifts = drifts_of(verdict, recent, cameras)
    subjects = (*labels, *(sensor.name for sensor in described))
    beside = [*trend_fact(verdict, recent, subjects), *drift_facts(drifts)]
    return Facts(
        verdict=verdict,
        opening=_opening(verdict),
        facts=_numbered(drafts, 1),
        labels=labels,
        cameras=cameras,
        abnormal=described,
        missing=missing,
        outage=outage,
        scores=label_scores(evidence),
        normal=normal_sensors(evidence, abnormal),
        beside=_numbered(beside, len(drafts) + 1),
        drifts=drifts,
    )


def _numbered(drafts: list[Draft], first: int) -> tuple[Fact, ...]:
    return tuple(
        Fact(n, draft.kind, draft.text, draft.quantities, draft.names, draft.aside)
        for n, draft in enumerate(drafts, first)
    )


def _opening(verdict: Verdict) -> str:
    part = safe_name(verdict.part_id) if verdict.part_id else ""
    if verdict.action is Action.STOP:
        return f"The line {DONE[Action.STOP]}" + (f" at part {part}" if part else "")
    return f"{f'Part {part}' if part else 'The part'} {DONE[verdict.action]}"


def _decision(verdict: Verdict, context: LineContext) -> Draft:
    text = _opening(verdict)
    names = (safe_name(verdict.part_id),) if verdict.part_id else ()
    match verdict.reason_code:
        case ReasonCode.EMERGENCY:
            return Draft(FactKind.DECISION, f"{text}: emergency", names=names)
        case ReasonCode.LATCHED:
            return Draft(FactKind.DECISION, f"{text}: an earlier emergency is not reset", names=names)
        case ReasonCode.TRIGGER_LATE:
            return Draft(FactKind.DECISION, f"{text}: its trigger came after the deadline", names=names)
    if verdict.failsafe:
        text += " as the failsafe action"
    if verdict.p_defect is None:
        return Draft(FactKind.DECISION, f"{text}: nothing is known of a defect", names=names)
    p_defect, confidence = number(verdict.p_defect, 2), number(verdict.confidence, 2)
    said, quantities = f"defect probability {p_defect}", [Quantity(p_defect)]
    if confidence != p_defect:
        said += f", confidence {confidence}"
        quantities.append(Quantity(confidence))
    if verdict.reason_code is not ReasonCode.EVIDENCE_MISSING:
        needed = number(context.confirm_confidence)
        over = verdict.confidence > context.confirm_confidence
        said += f", {'above' if over else 'not above'} the {needed} needed"
        quantities.append(Quantity(needed))
    return Draft(FactKind.DECISION, f"{text}: {said}", tuple(quantities), names)
