"""What the cameras saw, as facts. Pure."""

from dataclasses import replace

from inspector.explain.draft import Draft
from inspector.explain.facts import CameraView, FactKind, LineContext, Quantity
from inspector.explain.names import number, safe_name
from inspector.explain.place import extent_of_heatmap, place_of_box
from inspector.types import Detection, FrameResult, PartEvidence, ResultStatus

MAX_DETECTIONS = 2
"""Per camera, the surest first: an explanation is one or two sentences."""

_STATUS_WORDS = {
    ResultStatus.DROPPED: "its frame was dropped, the detector was too far behind",
    ResultStatus.INVALID_FRAME: "its frame was incomplete or of the wrong format",
    ResultStatus.ENGINE_ERROR: "the detector failed on its frame",
}


def labels_and_cameras(evidence: PartEvidence) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the labels that are told, and the cameras that gave a usable frame."""
    usable = [result for result in evidence.results if result.status is ResultStatus.OK]
    labels = [safe_name(found.label) for result in usable for found in _told(result)]
    return tuple(dict.fromkeys(labels)), tuple(safe_name(result.camera_id) for result in usable)


def label_scores(evidence: PartEvidence) -> tuple[tuple[str, float], ...]:
    """Return each label that is told with its highest score, the surest first."""
    scores: dict[str, float] = {}
    for result in evidence.results:
        for found in _told(result) if result.status is ResultStatus.OK else ():
            label = safe_name(found.label)
            scores[label] = max(scores.get(label, 0.0), found.score)
    return tuple(sorted(scores.items(), key=lambda item: (-item[1], item[0])))


def vision_facts(evidence: PartEvidence, context: LineContext) -> list[Draft]:
    """Return a fact for each detection that is told, and one for each camera without any."""
    drafts: list[Draft] = []
    for result in evidence.results:
        camera = safe_name(result.camera_id)
        if result.status is not ResultStatus.OK:
            text = f"{camera}: {_STATUS_WORDS[result.status]}"
            drafts.append(Draft(FactKind.MISSING, text, names=(camera,)))
            continue
        view = _view(result, context)
        told = _told(result)
        drafts += [_detection(camera, found, view, context.thresholds.get(found.label)) for found in told]
        if not told:
            drafts.append(_nothing_located(camera, result))
    return drafts


def _view(result: FrameResult, context: LineContext) -> CameraView:
    """What the camera sees: by its frame, which knows its size, else by the site's settings."""
    view = context.cameras.get(result.camera_id, CameraView())
    if result.width_px > 0 and result.height_px > 0:
        return replace(view, width_px=result.width_px, height_px=result.height_px)
    return view


def _told(result: FrameResult) -> list[Detection]:
    return sorted(result.detections, key=lambda found: (-found.score, found.label))[:MAX_DETECTIONS]


def _detection(camera: str, found: Detection, view: CameraView, threshold: float | None) -> Draft:
    label = safe_name(found.label)
    x0, y0, x1, y1 = found.box_px
    width, height, score = str(x1 - x0), str(y1 - y0), number(found.score, 2)
    quantities = [Quantity(score), Quantity(width), Quantity(height, "px")]
    text = f"{camera}: {label}, score {score}"
    place = place_of_box(found.box_px, view.width_px, view.height_px)
    if place:
        text += f", {place} of the image"
    else:
        text += f", at x {x0}, y {y0}"
        quantities += [Quantity(str(x0)), Quantity(str(y0))]
    text += f", {width} x {height} px"
    if found.area_mm2 is not None:
        area = number(found.area_mm2, 2)
        text += f", {area} mm2"
        quantities.append(Quantity(area, "mm2"))
    elif view.mm_per_px is not None:
        wide = number((x1 - x0) * view.mm_per_px, 2)
        high = number((y1 - y0) * view.mm_per_px, 2)
        text += f", {wide} x {high} mm"
        quantities += [Quantity(wide), Quantity(high, "mm")]
    aside = "" if threshold is None else f", score threshold {number(threshold, 2)}"
    return Draft(FactKind.VISION, text, tuple(quantities), (camera, label), aside)


def _nothing_located(camera: str, result: FrameResult) -> Draft:
    text, quantities = f"{camera}: no defect located", []
    extent = extent_of_heatmap(result.heatmap) if result.heatmap is not None else None
    if extent is not None:
        percent = number(extent.percent, 2)
        text = f"{camera}: abnormal surface on {percent} % of the image, {extent.place}"
        quantities.append(Quantity(percent, "%"))
    if result.p_defect is not None:
        p_defect = number(result.p_defect, 2)
        text += f", defect probability {p_defect}"
        quantities.append(Quantity(p_defect))
    return Draft(FactKind.VISION, text, tuple(quantities), (camera,))
