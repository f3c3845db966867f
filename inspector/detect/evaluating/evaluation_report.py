"""The report of an evaluation: one HTML file with the figures and the worst images, nothing linked."""

import base64
import html
import math
from collections.abc import Sequence
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from inspector.detect.evaluating.evaluation import Evaluation, Judgement, Kind
from inspector.detect.evaluating.pixel_figures import Map
from inspector.detect.images import read_image
from inspector.detect.model.manifest import InputLayout

_WORST: Final = 12  # images of each kind
_SIDE_PX: Final = 360
_WORDS: Final = {
    "image_auroc": "Image AUROC",
    "aupro": "AUPRO (to 30 % false positives)",
    "pixel_auroc": "Pixel AUROC",
    "map50": "mAP at IoU 0.5",
    "map": "mAP over IoU 0.5 to 0.95",
    "true_boxes": "Labelled boxes",
    "f1": "F1 at the model's threshold",
    "best_f1": "Best F1",
    "escape_rate": "Escapes at the threshold",
    "false_reject_rate": "False rejects at the threshold",
    "false_reject_at_escape": "False rejects at the escape rate asked for",
    "ms_per_image": "Milliseconds an image (median)",
    "ms_p99": "Milliseconds an image (99th percentile)",
    "good_images": "Good images",
    "defect_images": "Defective images",
    "marked_regions": "Marked regions",
}
_STYLE: Final = """body{font:15px system-ui,sans-serif;margin:2rem auto;max-width:1180px;color:#222}
table{border-collapse:collapse}td{padding:.2rem 1.2rem .2rem 0;border-bottom:1px solid #ddd}
td+td{text-align:right;font-variant-numeric:tabular-nums}.row{display:flex;flex-wrap:wrap;gap:1rem}
figure{margin:0;width:360px}img{max-width:360px}figcaption{font-size:13px;overflow-wrap:anywhere}
.wrong{color:#b00020;font-weight:600}"""


def figure_rows(figures: dict[str, float]) -> list[tuple[str, str]]:
    """What each figure is called and its value, in words for people; without those that are not known."""
    rows = []
    for key, words in _WORDS.items():
        value = figures.get(key, float("nan"))
        if math.isnan(value):
            continue
        whole = key.endswith(("_images", "_regions", "_boxes"))
        rate = key in ("escape_rate", "false_reject_rate", "false_reject_at_escape")
        rows.append((words, f"{value:.0f}" if whole else f"{value:.2%}" if rate else f"{value:.4f}"))
    return rows


def report_html(evaluation: Evaluation) -> str:
    """The whole page; pictures are embedded. Reads the worst images again."""
    name = html.escape(evaluation.manifest.name)
    rows = "".join(f"<tr><td>{words}<td>{value}" for words, value in figure_rows(evaluation.figures))
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{name}</title><style>{_STYLE}</style>'
        f"<h1>{name}</h1><p>Model {evaluation.manifest.onnx.sha256[:12]}, input "
        f"{evaluation.manifest.input.width_px} x {evaluation.manifest.input.height_px}."
        f"<table>{rows}</table>"
        f"<p>Of each kind the {_WORST} worst at most. Magenta: where a part is most unusual, each on its own "
        "scale. Boxes: yellow as found, green as labelled."
        + _section("Defective parts that look best", evaluation, "defect")
        + _section("Good parts that look worst", evaluation, "good")
        + "</html>\n"
    )


def worst(judgements: Sequence[Judgement], kind: Kind) -> list[Judgement]:
    """Defects with the lowest scores, or good parts with the highest."""
    sign = 1.0 if kind == "defect" else -1.0
    chosen = [each for each in judgements if each.kind == kind]
    return sorted(chosen, key=lambda each: sign * each.decoded.anomaly_score)[:_WORST]


def _section(title: str, evaluation: Evaluation, kind: Kind) -> str:
    figures = "".join(_figure(each, evaluation) for each in worst(evaluation.judgements, kind))
    return f'<h2>{title}</h2><div class="row">{figures}</div>' if figures else ""


def _figure(judgement: Judgement, evaluation: Evaluation) -> str:
    limit = evaluation.manifest.thresholds["defect"]
    wrong = (judgement.decoded.p_defect >= limit) != (judgement.kind == "defect")
    verdict = "wrong" if wrong else "right"
    picture = base64.b64encode(_picture(judgement, evaluation.manifest.input)).decode()
    return (
        f'<figure><img alt="" src="data:image/jpeg;base64,{picture}">'
        f"<figcaption>{html.escape(judgement.path.name)}<br>p_defect {judgement.decoded.p_defect:.3f}, score "
        f'{judgement.decoded.anomaly_score:.3f}, <span class="{verdict}">{verdict}</span>'
        "</figcaption></figure>"
    )


def _picture(judgement: Judgement, layout: InputLayout) -> bytes:
    """The image with its heat map over it, true boxes in green and found ones in yellow, as JPEG."""
    pixels = read_image(judgement.path, layout)  # without a template: people know the image itself
    colour = cv2.cvtColor(pixels, cv2.COLOR_GRAY2BGR if layout.channels == 1 else cv2.COLOR_RGB2BGR)
    scale = min(1.0, _SIDE_PX / max(colour.shape[:2]))
    small = cv2.resize(colour, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA).astype(np.float32)
    if judgement.score_map is not None:
        small = _overlay(small, judgement.score_map)
    shown = np.clip(small, 0, 255).astype(np.uint8)
    for _, true_box in judgement.truth or ():
        x0, y0, x1, y1 = (round(value * scale) for value in true_box)
        cv2.rectangle(shown, (x0, y0), (x1 - 1, y1 - 1), (80, 220, 80), 1)
    for detection in judgement.decoded.detections:
        x0, y0, x1, y1 = (round(value * scale) for value in detection.box_px)
        cv2.rectangle(shown, (x0, y0), (x1 - 1, y1 - 1), (0, 255, 255), 1)
    return bytes(cv2.imencode(".jpg", shown, [cv2.IMWRITE_JPEG_QUALITY, 80])[1].tobytes())


def _overlay(image: npt.NDArray[np.float32], score_map: Map) -> npt.NDArray[np.float32]:
    """Magenta where the map is highest, on its own scale: of a defect that escaped, that is what one wants
    to see. Nothing where it is as usual, so that the part stays visible."""
    heat = cv2.resize(score_map, (image.shape[1], image.shape[0]), interpolation=cv2.INTER_LINEAR)
    usual = float(np.median(heat))
    share = np.clip((heat - usual) / max(float(heat.max()) - usual, 1e-12), 0.0, 1.0)
    share = (0.6 * share**2)[..., None]
    return np.asarray(image * (1 - share) + share * np.array([255, 0, 255], np.float32), dtype=np.float32)
