"""A server that sees: the images of a part arrive over HTTP as they were made, beside the facts."""

import base64
import json
from collections.abc import Iterator
from typing import Any

import cv2
import msgspec
import numpy as np
import pytest
from chat_server import ChatServer, opinion, said

from inspector.clock import NS_PER_S, SystemClock
from inspector.config import ExplainerConfig
from inspector.explain.explainer import Explainer
from inspector.explain.facts import LineContext
from inspector.explain.opinion import OpinionFit
from inspector.explain.pictures import MAX_SIDE, Pictures
from inspector.explain.probe import PROBE
from inspector.explain.second_opinion import SecondOpinion
from inspector.explain.start import open_engine, sees
from inspector.types import (
    Explanation,
    ExplanationSource,
    Frame,
    FrameMeta,
    Heatmap,
    OpinionRequest,
    PartEvidence,
)

CLOCK = SystemClock()
GOOD = {
    "cause": 1,
    "text": "Part PROBE1 was rejected because cam1 found a scratch while vibration1 was at 7.8 mm/s, "
    "above its alarm limit of 7.1 mm/s.",
    "cited": [1, 2, 3],
}


def answer(body: dict[str, Any]) -> dict[str, Any]:
    if body.get("logprobs"):
        return opinion(0.8)
    return said(json.dumps(GOOD))


@pytest.fixture
def server() -> Iterator[ChatServer]:
    made = ChatServer(answer)
    yield made
    made.close()


def part() -> tuple[PartEvidence, tuple[bytes, ...]]:
    """The probe's part with a bright scratch in its frame and a heat map, and what is shown of it."""
    image = np.full((480, 640), 50, np.uint8)
    image[30:60, 40:130] = 250
    cells = np.zeros((12, 16), np.uint8)
    cells[1, 1:3] = 255
    heat = Heatmap(width=16, height=12, data=cells.tobytes())
    seen = msgspec.structs.replace(PROBE.evidence.results[0], heatmap=heat)
    evidence = msgspec.structs.replace(PROBE.evidence, results=(seen,))
    meta = FrameMeta(
        camera_id=seen.camera_id,
        frame_id=seen.frame_id,
        exposure_start_ns=0,
        exposure_us=1.0,
        received_ns=0,
        width_px=640,
        height_px=480,
        pixel_format="Mono8",
    )
    pictures = Pictures()
    pictures.add(Frame(meta, image))
    return evidence, pictures.of(evidence)


def explain(server: ChatServer, *, images: bool) -> Explanation:
    config = ExplainerConfig(server=server.config(images=images))
    evidence, shown = part()
    engine = open_engine(config, CLOCK)
    try:
        record = msgspec.structs.replace(PROBE, evidence=evidence)
        explainer = Explainer(engine, LineContext(), CLOCK)
        return explainer.explain(record, CLOCK.now_ns() + 60 * NS_PER_S, shown if sees(config) else ())
    finally:
        engine.close()


def image_of(body: dict[str, Any]) -> tuple[str, Any]:
    """The text of the last message and its one image, decoded."""
    text, picture = body["messages"][-1]["content"]
    kind, _, data = picture["image_url"]["url"].partition(",")
    assert (text["type"], picture["type"], kind) == ("text", "image_url", "data:image/png;base64")
    raw = np.frombuffer(base64.b64decode(data, validate=True), np.uint8)
    return text["text"], cv2.imdecode(raw, cv2.IMREAD_COLOR)


def test_the_region_and_its_heat_map_arrive_beside_the_facts(server: ChatServer) -> None:
    explanation = explain(server, images=True)
    assert explanation.source is ExplanationSource.LLM
    [body] = server.requests
    assert all(isinstance(turn["content"], str) for turn in body["messages"][:-1])
    text, image = image_of(body)
    assert text.startswith("Image: on the left the region")
    assert "scratch, score 0.91" in text
    side = (image.shape[1] - 8) // 2
    assert max(side, image.shape[0]) <= MAX_SIDE
    left, right = image[:, :side], image[:, side + 8 :]
    assert (left > 240).all(axis=2).sum() == 30 * 90  # the whole scratch, pixel for pixel
    red = right[:, :, 2].astype(int) - right[:, :, 0]
    hot = red > 60
    bright = left[:, :, 0] > 240
    assert (hot & bright).sum() > 0.4 * hot.sum()  # the heat lies on the scratch


def test_a_server_that_does_not_see_gets_text_alone(server: ChatServer) -> None:
    assert explain(server, images=False).source is ExplanationSource.LLM
    assert all(isinstance(turn["content"], str) for turn in server.requests[0]["messages"])


def test_an_opinion_looks_at_the_part_too(server: ChatServer) -> None:
    evidence, shown = part()
    engine = open_engine(ExplainerConfig(server=server.config(images=True)), CLOCK)
    try:
        fit = OpinionFit(engine.model_sha256, 1.0, 0.0, 1.0, 0.1, 40)
        second = SecondOpinion(engine, fit, LineContext(), CLOCK)
        request = OpinionRequest(
            part_id="PROBE1", evidence=evidence, deadline_ns=CLOCK.now_ns() + 60 * NS_PER_S
        )
        given = second.give(request, shown)
    finally:
        engine.close()
    assert given is not None
    assert given.p_defect == pytest.approx(0.8, abs=0.01)
    text, image = image_of(server.requests[0])
    assert "is the part defective?" in text
    assert image.shape[2] == 3
