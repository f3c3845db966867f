"""The explainer service hears verdicts and the detector's heartbeat, and tells of both beside a verdict."""

import os
from pathlib import Path

import msgspec
from msgspec.structs import replace

from inspector.bus import Bus, sweep
from inspector.clock import NS_PER_MS, SystemClock
from inspector.config_load import load_site
from inspector.detect.model.manifest import Head, load_manifest
from inspector.explain.probe import PROBE
from inspector.metrics import Metrics
from inspector.services.explainer import ExplainerService
from inspector.services.label_thresholds import label_thresholds, thresholds_in
from inspector.services.loop import Context
from inspector.topics import EXPLANATIONS, HEALTH, VERDICTS
from inspector.types import Action, Detection, Explanation, Health, ServiceState, VerdictRecord

ROOT = Path(__file__).parents[2]
SITE = load_site(ROOT / "deploy" / "demo" / "site.yaml")
PASSED = msgspec.structs.replace(PROBE.verdict, action=Action.PASS, cause="")


def test_trend_drift_and_threshold_are_told_of_a_part() -> None:
    domain = f"{os.getpid()}"
    explainer = replace(SITE.site.explainer, model="none", explain="not_passed")
    site = replace(SITE, site=replace(SITE.site, explainer=explainer))
    (label,) = load_manifest(ROOT / "models" / "demo_part").labels
    camera = site.cameras[0].id
    seen = msgspec.structs.replace(
        PROBE.evidence.results[0],
        camera_id=camera,
        detections=(Detection(label=label, score=0.91, box_px=(40, 30, 130, 60)),),
    )
    rejected = VerdictRecord(
        verdict=msgspec.structs.replace(PROBE.verdict, cause=label),
        evidence=msgspec.structs.replace(PROBE.evidence, results=(seen,), events=()),
    )
    counters = {f"light_percent_{camera}": 78.0, f"light_drifting_{camera}": 1.0}
    dark = Health(service="detector", pid=1, state=ServiceState.READY, detail="", at_ns=0, counters=counters)
    with Bus(domain, "explainer") as bus:
        context = Context("explainer", domain, site, bus, SystemClock(), Metrics("explainer"), lambda _: None)
        service = ExplainerService(context)
        health, verdicts = bus.publisher(HEALTH), bus.publisher(VERDICTS)
        explanations = bus.subscriber(EXPLANATIONS)
        health.send(dark)
        for record in (*[VerdictRecord(verdict=PASSED, evidence=PROBE.evidence)] * 10, rejected, rejected):
            verdicts.send(record)
        told: list[Explanation] = []
        while len(told) < 2:
            service.step()
            told += explanations.drain()
            bus.wait(20 * NS_PER_MS)
        service.close()
    sweep(domain)
    assert "of the last" not in told[0].text
    assert told[1].text.endswith(
        f"2 of the last 12 parts were rejected, 2 of them for {label}. "
        f"Pictures of {camera} are darker than at teach-in, light 78 %."
    )
    assert ", score threshold 0." in told[1].text
    assert f"Check lamp and exposure of {camera}" in told[1].recommended_action


def test_a_model_that_cannot_be_read_has_no_thresholds(tmp_path: Path) -> None:
    detector = replace(SITE.site.detector, model=str(tmp_path / "gone"))
    site = replace(SITE, site=replace(SITE.site, detector=detector))
    assert label_thresholds(site) == {}


def test_boxes_have_their_own_threshold_and_a_label_with_two_has_none() -> None:
    ours = load_manifest(ROOT / "models" / "demo_part")
    (label,) = ours.labels
    assert thresholds_in(ours) == {label: ours.thresholds["box"]}
    head = Head(
        decode="boxes",
        outputs={},
        labels=("scratch", label),
        network_width_px=8,
        network_height_px=8,
        box_threshold=0.07,
    )
    assert thresholds_in(msgspec.structs.replace(ours, head=head)) == {"scratch": 0.07}
    boxes = msgspec.structs.replace(ours, decode="boxes", head=head)
    assert thresholds_in(boxes) == {"scratch": 0.07, label: 0.07}
