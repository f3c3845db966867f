"""Defects, drawn on a face before it is placed under the camera.

Each function changes `face` in place within a small region and returns the mask of what it
changed (uint8, 0 or 255, the face's shape). Sizes are relative to the outer radius, so that they
look alike at every resolution. Contrast varies: a careful person sees each of them.
"""

from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt

from line_sim.parts import DefectKind
from line_sim.render_layers import (
    BOLT_HOLE_RADIUS,
    BORE_RADIUS,
    LIGHT_DIRECTION_RAD,
    Flange,
    FloatImage,
    hole_centres,
)

Mask = npt.NDArray[np.uint8]
Points = npt.NDArray[np.float64]

_SUBPIXEL_BITS = 4  # cv2 draws with fixed-point coordinates


def _on_metal(rng: np.random.Generator, flange: Flange, clear: float) -> tuple[float, float]:
    """Choose a point on the face, at least `clear` radii from its edge, the bore and the holes."""
    c, radius = flange.alpha.shape[0] / 2, flange.radius_px
    holes = hole_centres(radius, c)
    while True:
        angle = rng.uniform(0, 2 * np.pi)
        r = rng.uniform(BORE_RADIUS + clear, 0.95 - clear) * radius
        x, y = c + r * np.cos(angle), c + r * np.sin(angle)
        gap = min(np.hypot(x - hx, y - hy) for hx, hy in holes)
        if gap > (BOLT_HOLE_RADIUS + clear) * radius:
            return float(x), float(y)


def _polyline(shape: tuple[int, ...], points: Points, thickness: int) -> FloatImage:
    """Antialiased line, 0 to 1."""
    line = np.zeros(shape, np.uint8)
    fixed = np.round(points * (1 << _SUBPIXEL_BITS)).astype(np.int32)
    cv2.polylines(line, [fixed], False, 255, thickness, cv2.LINE_AA, _SUBPIXEL_BITS)
    return np.asarray(line / 255, dtype=np.float32)


def _metal_only(flange: Flange, field: FloatImage) -> FloatImage:
    """Keep the field off the belt, the bore and the holes: there is no metal to damage."""
    side = flange.alpha.shape[0]
    keep = (flange.alpha > 0.99).astype(np.uint8)
    centre = (side // 2, side // 2)
    cv2.circle(keep, centre, round(BORE_RADIUS * flange.radius_px), 0, -1)
    for hx, hy in hole_centres(flange.radius_px, side / 2):
        hole = round(BOLT_HOLE_RADIUS * flange.radius_px)
        cv2.circle(keep, (round(hx), round(hy)), hole, 0, -1)
    return np.asarray(field * keep, dtype=np.float32)


def _window(
    flange: Flange, x: float, y: float, reach: float
) -> tuple[tuple[slice, slice], FloatImage, FloatImage]:
    """Return the square of pixels around (x, y), and each pixel's offset from it in x and in y."""
    side = flange.alpha.shape[0]
    x0, y0 = max(0, int(x - reach)), max(0, int(y - reach))
    x1, y1 = min(side, int(x + reach) + 1), min(side, int(y + reach) + 1)
    yy, xx = np.mgrid[y0:y1, x0:x1].astype(np.float32)
    return (slice(y0, y1), slice(x0, x1)), xx - np.float32(x), yy - np.float32(y)


def _spread(flange: Flange, where: tuple[slice, slice], field: FloatImage) -> FloatImage:
    """Put a window's field into a field of the whole face, on metal only."""
    whole = np.zeros_like(flange.alpha)
    whole[where] = field
    return _metal_only(flange, whole)


def _mask_of(field: FloatImage, level: float) -> Mask:
    return np.where(field > level, np.uint8(255), np.uint8(0))


def _scratch(rng: np.random.Generator, flange: Flange, face: FloatImage) -> Mask:
    """A line across the grooves: a bright ridge beside a dark furrow, uneven along its length."""
    x, y = _on_metal(rng, flange, 0.06)
    length = rng.uniform(0.25, 0.75) * flange.radius_px
    heading, bend = rng.uniform(0, 2 * np.pi), rng.uniform(-0.5, 0.5)
    t = np.linspace(-0.5, 0.5, 24)
    angle = heading + bend * t
    points = np.stack([x + t * length * np.cos(angle), y + t * length * np.sin(angle)], axis=1)
    width = int(rng.integers(1, 3))
    normal = np.array([-np.sin(heading), np.cos(heading)])
    furrow = _metal_only(flange, _polyline(face.shape, points, width))
    ridge = _metal_only(flange, _polyline(face.shape, points + normal * (width + 0.6), 1))
    depth = rng.uniform(32, 70)
    face -= furrow * depth
    face += ridge * depth * 0.9
    return _mask_of(furrow + ridge, 0.3)


def _dent(rng: np.random.Generator, flange: Flange, face: FloatImage) -> Mask:
    """A shallow pit: the wall that faces the light is bright, the other one is in shade."""
    x, y = _on_metal(rng, flange, 0.10)
    size = rng.uniform(0.035, 0.075) * flange.radius_px
    stretch, turn = rng.uniform(1.0, 1.6), rng.uniform(0, np.pi)
    where, dx, dy = _window(flange, x, y, 4 * size * stretch)
    along = (dx * np.cos(turn) + dy * np.sin(turn)) / stretch
    across = -dx * np.sin(turn) + dy * np.cos(turn)
    bowl = np.exp(-0.5 * (along**2 + across**2) / size**2).astype(np.float32)
    lit = (dx * np.cos(LIGHT_DIRECTION_RAD) + dy * np.sin(LIGHT_DIRECTION_RAD)) / size
    strength = rng.uniform(45, 85)
    face += _spread(flange, where, -strength * bowl * (lit + 0.35))
    return _mask_of(_spread(flange, where, bowl), 0.25)


def _stain(rng: np.random.Generator, flange: Flange, face: FloatImage) -> Mask:
    """Oil or rust: a dark blotch with a ragged, soft edge; the tool marks show through."""
    x, y = _on_metal(rng, flange, 0.10)
    size = rng.uniform(0.08, 0.18) * flange.radius_px
    where, dx, dy = _window(flange, x, y, 2.2 * size)
    grain = rng.standard_normal(dx.shape).astype(np.float32)
    ragged = cv2.GaussianBlur(grain, (0, 0), size / 4)
    distance = np.hypot(dx, dy) / size
    edge = distance + 0.45 * ragged / ragged.std() + np.clip(4 * (distance - 1.8), 0, None)
    soft = 1.0 / (1.0 + np.exp(np.clip((edge - 1.0) * 7.0, -30, 30)))
    blot = _spread(flange, where, soft.astype(np.float32))
    face *= 1.0 - blot * rng.uniform(0.22, 0.45)
    return _mask_of(blot, 0.5)


def _missing_hole(rng: np.random.Generator, flange: Flange, face: FloatImage) -> Mask:
    """A bolt hole that was never drilled; at times the centre punch shows."""
    centre = flange.alpha.shape[0] / 2
    hx, hy = hole_centres(flange.radius_px, centre)[int(rng.integers(0, 6))]
    reach = round(BOLT_HOLE_RADIUS * flange.radius_px + 4)
    mask = np.zeros(face.shape, np.uint8)
    cv2.circle(mask, (round(hx), round(hy)), reach, 255, -1)
    face[mask > 0] = flange.undrilled[mask > 0]
    if rng.random() < 0.5:
        dot = np.zeros(face.shape, np.uint8)
        cv2.circle(dot, (round(hx), round(hy)), 2, 255, -1, cv2.LINE_AA)
        face -= dot.astype(np.float32) / 255 * 60
    return mask


def _crack(rng: np.random.Generator, flange: Flange, face: FloatImage) -> Mask:
    """A thin dark jagged line from the bore or a bolt hole, where the stress is highest."""
    c, radius = flange.alpha.shape[0] / 2, flange.radius_px
    angle = rng.uniform(0, 2 * np.pi)
    if rng.random() < 0.6:
        start = np.array([c, c]) + BORE_RADIUS * radius * np.array([np.cos(angle), np.sin(angle)])
        heading = angle
    else:
        hx, hy = hole_centres(radius, c)[int(rng.integers(0, 6))]
        out = np.arctan2(hy - c, hx - c)
        heading = out + np.pi + rng.uniform(-0.7, 0.7) if rng.random() < 0.7 else out
        reach = BOLT_HOLE_RADIUS * radius
        start = np.array([hx, hy]) + reach * np.array([np.cos(heading), np.sin(heading)])
    step = 0.022 * radius
    count = max(6, round(rng.uniform(0.16, 0.42) / 0.022))
    headings = heading + np.cumsum(rng.normal(0, 0.30, count)) * 0.5 + rng.normal(0, 0.45, count)
    moves = np.stack([np.cos(headings), np.sin(headings)], axis=1) * step
    points = start + np.concatenate([np.zeros((1, 2)), np.cumsum(moves, axis=0)])
    core = _metal_only(flange, _polyline(face.shape, points, 1))
    mouth = _metal_only(flange, _polyline(face.shape, points[: count // 2], 2))
    both = np.maximum(core, mouth)
    face *= 1.0 - both * rng.uniform(0.5, 0.8)
    return _mask_of(both, 0.3)


Drawing = Callable[[np.random.Generator, Flange, FloatImage], Mask]

DRAWINGS: dict[DefectKind, Drawing] = {
    DefectKind.SCRATCH: _scratch,
    DefectKind.DENT: _dent,
    DefectKind.STAIN: _stain,
    DefectKind.MISSING_HOLE: _missing_hole,
    DefectKind.CRACK: _crack,
}


def draw_defect(kind: DefectKind, rng: np.random.Generator, flange: Flange, face: FloatImage) -> Mask:
    """Draw one defect on `face` in place. Return its mask; redraw elsewhere if nothing shows."""
    while True:
        mask = DRAWINGS[kind](rng, flange, face)
        if cv2.countNonZero(mask) >= 12:
            return mask
