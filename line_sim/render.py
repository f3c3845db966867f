"""Pictures of parts: a turned flange on a dark belt, as an area camera above it sees it.

3 to 5 ms a picture of 640x480 on one core. The picture depends on the seed, the part number and
the defect only, never on the order or the thread in which pictures are asked for.
"""

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from line_sim.parts import DefectKind, Stream, stream_rng
from line_sim.render_defects import draw_defect
from line_sim.render_layers import (
    VARIANTS,
    Flange,
    FloatImage,
    make_belt,
    make_flange,
    make_light,
    make_noise,
    make_shadow,
)

GrayImage = npt.NDArray[np.uint8]

DEFAULT_SIZE_PX: Final = (640, 480)
_SHADOW_MARGIN_PX: Final = 18
_READ_NOISE: Final = 1.1  # grey levels
_SHOT_NOISE: Final = 0.030  # variance per grey level
_POSE_SIGMA_PX: Final = 4.0
_POSE_LIMIT_PX: Final = 10.0
_POSE_LIMIT_DEG: Final = 4.0
_DRIFT_PERIOD_PARTS: Final = 240


@dataclass(frozen=True, slots=True)
class Truth:
    """What is known of a picture. `mask` is (height, width) bool; `box_px` half-open x0 y0 x1 y1.

    All three are None for a good part.
    """

    part_number: int
    kind: DefectKind | None
    box_px: tuple[int, int, int, int] | None
    mask: npt.NDArray[np.bool_] | None


@dataclass(frozen=True, slots=True)
class Picture:
    """A Mono8 image (height, width) and its ground truth."""

    image: GrayImage
    truth: Truth


class Renderer:
    """Makes pictures of parts. Building one takes about a second (textures).

    `seed` varies the parts: pose, marks, defects, light, noise. The line itself (its belt, its lathe, its
    lamp) is the same whatever the seed, as on a real line, where a model is taught on the line that it
    inspects; another `line` is another machine. `size_px` is (width, height). `render` may be called
    from one thread at a time.
    """

    def __init__(self, seed: int, size_px: tuple[int, int] = DEFAULT_SIZE_PX, *, line: int = 1) -> None:
        if min(size_px) < 96:
            raise ValueError(f"size_px {size_px} is too small for a part: at least 96 x 96")
        self._seed = seed
        self._width, self._height = size_px
        radius = 0.40 * min(size_px)
        self._line = line
        self._flanges = [make_flange(line, v, radius) for v in range(VARIANTS)]
        self._shadow = make_shadow(self._flanges[0], _SHADOW_MARGIN_PX)
        self._belt = make_belt(line, *size_px)
        self._light = make_light(*size_px)
        self._noise = make_noise(line, *size_px)

    @property
    def size_px(self) -> tuple[int, int]:
        """(width, height) of every picture."""
        return self._width, self._height

    def render(self, part_number: int, defect: DefectKind | None) -> Picture:
        """Return the picture of one part. Deterministic in (seed, size, part_number, defect)."""
        pose = stream_rng(self._seed, Stream.POSE, part_number)
        flange = self._flanges[int(pose.integers(0, VARIANTS))]
        face, mask = flange.drilled, None
        if defect is not None:
            face = face.copy()
            rng = stream_rng(self._seed, Stream.DEFECT, part_number)
            mask = draw_defect(defect, rng, flange, face)
        matrix = self._pose_matrix(pose, flange)
        image = self._compose(face, flange, matrix, pose, self._lamp(part_number, pose))
        if mask is None:
            return Picture(image, Truth(part_number, None, None, None))
        placed = cv2.warpAffine(mask, matrix, self.size_px, flags=cv2.INTER_LINEAR)
        x, y, w, h = cv2.boundingRect((placed > 96).astype(np.uint8))
        truth = Truth(part_number, defect, (x, y, x + w, y + h), placed > 96)
        return Picture(image, truth)

    def _pose_matrix(self, pose: np.random.Generator, flange: Flange) -> npt.NDArray[np.float64]:
        """Face to picture: a few pixels and degrees off, and 0.3 % in height (scale)."""
        shift = np.clip(pose.normal(0, _POSE_SIGMA_PX, 2), -_POSE_LIMIT_PX, _POSE_LIMIT_PX)
        shift *= self._height / DEFAULT_SIZE_PX[1]
        angle = float(np.clip(pose.normal(0, 1.6), -_POSE_LIMIT_DEG, _POSE_LIMIT_DEG))
        scale = float(1 + np.clip(pose.normal(0, 0.003), -0.01, 0.01))
        c = flange.alpha.shape[0] / 2
        matrix = np.asarray(cv2.getRotationMatrix2D((c, c), angle, scale), dtype=np.float64)
        matrix[:, 2] += (self._width / 2 - c + shift[0], self._height / 2 - c + shift[1])
        return matrix

    def _compose(
        self,
        face: FloatImage,
        flange: Flange,
        matrix: npt.NDArray[np.float64],
        pose: np.random.Generator,
        lamp: float,
    ) -> GrayImage:
        size = self.size_px
        offset = int(pose.integers(0, 2 * self._width))
        scene = self._belt[:, offset : offset + self._width].copy()

        m = _SHADOW_MARGIN_PX
        cast = matrix.copy()  # shadow falls away from the light: to the lower right
        cast[:, 2] += cast[:, :2] @ np.array([-m, -m]) + np.array([5.0, 7.0])
        shadow = cv2.warpAffine(self._shadow, cast, size, flags=cv2.INTER_LINEAR)
        scene *= 1.0 - 0.55 * shadow

        alpha = cv2.warpAffine(flange.alpha, matrix, size, flags=cv2.INTER_LINEAR)
        placed = cv2.warpAffine(face, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        placed -= scene
        placed *= alpha
        scene += placed

        scene *= self._light
        scene *= lamp
        noise = stream_rng(self._seed, Stream.NOISE, int(pose.integers(0, 2**62)))
        x, y = int(noise.integers(0, 128)), int(noise.integers(0, 96))
        window = self._noise[y : y + self._height, x : x + self._width]
        sigma = cv2.sqrt(cv2.addWeighted(scene, _SHOT_NOISE, scene, 0.0, _READ_NOISE**2))
        scene += cv2.multiply(sigma, window)
        return np.asarray(cv2.convertScaleAbs(cv2.max(scene, 0.0)), dtype=np.uint8)

    def _lamp(self, part_number: int, pose: np.random.Generator) -> float:
        """Gain of the lamp at this part: a slow drift of +-2 % and a flicker of about 1 %."""
        phase = stream_rng(self._line, Stream.LAYER, 3000).uniform(0, 2 * np.pi)
        drift = 0.02 * np.sin(2 * np.pi * part_number / _DRIFT_PERIOD_PARTS + phase)
        return float(1 + drift + np.clip(pose.normal(0, 0.01), -0.03, 0.03))
