"""Textures that are computed once: the turned flange, the belt, the light, the sensor noise.

A turned face has concentric grooves. It reflects anisotropically, brightest where the radius
points along the light, which gives the two bright sectors seen on every lathe-turned face
(J. T. Kajiya, "Anisotropic reflection models", SIGGRAPH 1985). All layers are float32.
"""

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from line_sim.parts import Stream, stream_rng

FloatImage = npt.NDArray[np.float32]

LIGHT_DIRECTION_RAD: Final = np.deg2rad(-130.0)  # from the upper left; image y points down
VARIANTS: Final = 16  # different faces; enough that no two neighbours on the belt look alike

# The flange's drawing, in units of its outer radius.
BORE_RADIUS: Final = 0.30
BOSS_RADIUS: Final = 0.53
BOLT_CIRCLE_RADIUS: Final = 0.76
BOLT_HOLE_RADIUS: Final = 0.078
BOLT_HOLES: Final = 6


@dataclass(frozen=True, slots=True)
class Flange:
    """One face. Side x side pixels, centre at side / 2; values are grey levels of the camera.

    `undrilled` is the same face before the bolt holes were drilled. `alpha` is 1 on the part.
    """

    drilled: FloatImage
    undrilled: FloatImage
    alpha: FloatImage
    radius_px: float


def hole_centres(radius_px: float, centre_px: float) -> list[tuple[float, float]]:
    """Return the bolt holes' centres in the face's own pixels."""
    angles = 2 * np.pi * (np.arange(BOLT_HOLES) + 0.5) / BOLT_HOLES
    r = BOLT_CIRCLE_RADIUS * radius_px
    return [(float(centre_px + r * np.cos(a)), float(centre_px + r * np.sin(a))) for a in angles]


def _step(distance_px: FloatImage) -> FloatImage:
    """Antialiased edge: 0 outside (negative distance), 1 inside, one pixel wide."""
    return np.asarray(np.clip(distance_px + 0.5, 0.0, 1.0), dtype=np.float32)


def _ring(r: FloatImage, radius_px: float, half_width_px: float) -> FloatImage:
    return _step(half_width_px - np.abs(r - radius_px))


def _wrapped_blur(image: FloatImage, sigma_x: float, sigma_y: float, axis: int) -> FloatImage:
    """Gaussian blur of an image that wraps around along `axis` (cv2 has no wrapping blur)."""
    pad = int(4 * (sigma_x, sigma_y)[1 - axis])
    widths = [(pad, pad) if a == axis else (0, 0) for a in (0, 1)]
    blurred = cv2.GaussianBlur(np.pad(image, widths, "wrap"), (0, 0), sigmaX=sigma_x, sigmaY=sigma_y)
    keep = slice(pad, pad + image.shape[axis])
    return np.asarray(blurred[keep] if axis == 0 else blurred[:, keep], dtype=np.float32)


def _turned_texture(rng: np.random.Generator, side: int, radius_px: float) -> FloatImage:
    """Concentric tool marks, mean 0, about +-1: long along the groove, short across it."""
    radii, angles = int(radius_px) + 12, 1024
    polar = rng.standard_normal((angles, radii)).astype(np.float32)
    long = _wrapped_blur(polar, 0.7, 70, axis=0)
    short = _wrapped_blur(polar, 0.6, 9, axis=0)
    feed = np.sin(np.arange(radii) * 2 * np.pi / 5.3 + rng.uniform(0, 6.28))
    marks = long / long.std() + 0.7 * short / short.std() + 0.8 * feed.astype(np.float32)[None, :]
    centre = (side / 2, side / 2)
    flags = cv2.WARP_INVERSE_MAP | cv2.WARP_FILL_OUTLIERS | cv2.INTER_LINEAR  # polar, linear
    flat = cv2.warpPolar(marks.astype(np.float32), (side, side), centre, float(radii), flags)
    return np.asarray(flat / 1.6, dtype=np.float32)


def make_flange(seed: int, variant: int, radius_px: float) -> Flange:
    """Compute one face (about 40 ms)."""
    rng = stream_rng(seed, Stream.LAYER, variant)
    side = 2 * (int(radius_px) + 6)
    c = side / 2
    y, x = np.mgrid[0:side, 0:side].astype(np.float32)
    dx, dy = x - c, y - c
    r = np.hypot(dx, dy).astype(np.float32)
    facing = np.cos(np.arctan2(dy, dx) - LIGHT_DIRECTION_RAD).astype(np.float32)

    texture = _turned_texture(rng, side, radius_px)
    sectors = np.abs(facing) ** 7  # the two bright sectors of a turned face
    face = 116 + 48 * sectors + texture * (7.0 + 7.0 * sectors)
    boss = _step(BOSS_RADIUS * radius_px - r)
    face = face + boss * (14 + 10 * sectors)
    # The boss's step: its side towards the light is bright, the other one is in shade.
    face = face + _ring(r, BOSS_RADIUS * radius_px, 2.2) * (58 * facing - 12)
    face = face - _ring(r, BOSS_RADIUS * radius_px + 4.5, 2.4) * (26 - 14 * facing)
    face = face + _ring(r, radius_px - 3.5, 3.5) * (70 * facing + 8)  # outer chamfer

    bore = BORE_RADIUS * radius_px
    face = face + _ring(r, bore + 2.5, 2.5) * (-62 * facing + 14)  # chamfer that looks inwards
    wall = 24 + 42 * np.clip(-facing, 0, 1) ** 2 * np.clip((r - bore + 14) / 14, 0, 1)
    inside = _step(bore - r)
    undrilled = face * (1 - inside) + wall * inside

    drilled = undrilled.copy()
    hole = BOLT_HOLE_RADIUS * radius_px
    for hx, hy in hole_centres(radius_px, c):
        hr = np.hypot(x - hx, y - hy).astype(np.float32)
        towards = np.cos(np.arctan2(y - hy, x - hx) - LIGHT_DIRECTION_RAD)
        drilled = drilled + _ring(hr, hole + 1.4, 1.4) * (-64 * towards + 10)
        pit = 20 + 34 * np.clip(-towards, 0, 1) ** 2 * np.clip((hr - hole + 7) / 7, 0, 1)
        mask = _step(hole - hr)
        drilled = drilled * (1 - mask) + pit * mask
    return Flange(
        drilled=np.clip(drilled, 0, 250).astype(np.float32),
        undrilled=np.clip(undrilled, 0, 250).astype(np.float32),
        alpha=_step(radius_px - r),
        radius_px=radius_px,
    )


def make_belt(seed: int, width_px: int, height_px: int) -> FloatImage:
    """A dark woven rubber belt, three pictures long; it wraps around in x."""
    rng = stream_rng(seed, Stream.LAYER, 1000)
    shape = (height_px, 3 * width_px)
    y, x = np.mgrid[0 : shape[0], 0 : shape[1]].astype(np.float32)
    weave = np.sin(x * (2 * np.pi * round(shape[1] / 6) / shape[1])) * np.sin(y * (2 * np.pi / 6))
    grain = rng.standard_normal(shape).astype(np.float32)
    clouds = _wrapped_blur(grain, 25, 25, axis=1)
    belt = 31 + 2.4 * weave + 1.4 * grain + 3.0 * clouds / clouds.std()
    for _ in range(14):  # wear marks along the travel
        x0, y0 = rng.uniform(0, shape[1]), rng.uniform(0, shape[0])
        length, tone = rng.uniform(40, 0.6 * width_px), rng.uniform(-4, 7)
        line = np.zeros(shape, np.uint8)
        end = (int(x0 + length), int(y0 + rng.uniform(-6, 6)))
        cv2.line(line, (int(x0), int(y0)), end, 255, 1, cv2.LINE_AA)
        belt += line.astype(np.float32) / 255 * tone
    return np.asarray(belt, dtype=np.float32)


def make_light(width_px: int, height_px: int) -> FloatImage:
    """Gain of the light: brighter at the upper left, with the lens's cos^4 fall-off."""
    y, x = np.mgrid[0:height_px, 0:width_px].astype(np.float32)
    u, v = x / width_px - 0.5, y / height_px - 0.5
    tilt = 1.0 - 0.14 * u - 0.10 * v
    falloff = 1.0 / (1.0 + 0.30 * (u * u + v * v)) ** 2
    return np.asarray(tilt * falloff, dtype=np.float32)


def make_shadow(flange: Flange, margin_px: int) -> FloatImage:
    """The part's soft shadow on the belt, 0 to 1, `margin_px` wider than the face on each side."""
    wide = np.pad(flange.alpha, margin_px)
    return np.asarray(cv2.GaussianBlur(wide, (0, 0), margin_px / 3), dtype=np.float32)


def make_noise(seed: int, width_px: int, height_px: int) -> FloatImage:
    """A bank of unit Gaussian noise, larger than a picture: each picture cuts its own window."""
    rng = stream_rng(seed, Stream.LAYER, 2000)
    return rng.standard_normal((height_px + 96, width_px + 128), dtype=np.float32)
