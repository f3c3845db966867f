"""A judgement with its evidence, name, number and times, as the message that leaves."""

from dataclasses import dataclass

from inspector.config import ArbiterSetup
from inspector.decide.rules import Judgement
from inspector.fusion.align import clock_uncertainty_ms, skew_ms
from inspector.types import PartEvidence, Verdict, VerdictRecord


@dataclass(frozen=True, slots=True)
class Times:
    decided_ns: int
    deadline_ns: int
    valid_until_ns: int


def make_record(
    evidence: PartEvidence,
    judgement: Judgement,
    setup: ArbiterSetup,
    *,
    verdict_id: str,
    seq: int,
    times: Times,
) -> VerdictRecord:
    """Return the verdict with what it was decided on."""
    verdict = Verdict(
        verdict_id=verdict_id,
        part_id=evidence.part_id,
        seq=seq,
        decision=judgement.decision,
        action=judgement.action,
        reason_code=judgement.reason_code,
        confidence=judgement.confidence,
        p_defect=judgement.p_defect,
        weights=judgement.weights,
        skew_ms=skew_ms(evidence.results, evidence.events, evidence.trigger_ns),
        clock_uncertainty_ms=clock_uncertainty_ms(evidence.results),
        modalities=judgement.modalities,
        missing=evidence.missing,
        cause=judgement.cause,
        trigger_ns=evidence.trigger_ns,
        decided_ns=times.decided_ns,
        deadline_ns=times.deadline_ns,
        valid_until_ns=times.valid_until_ns,
        failsafe=judgement.failsafe,
        config_sha256=setup.config_sha256,
        model_sha256=setup.model_sha256,
    )
    return VerdictRecord(verdict=verdict, evidence=evidence)
