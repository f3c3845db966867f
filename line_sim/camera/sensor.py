"""The sensor: of what the frame source shows it makes the bytes that go over the wire.

Region, binning, exposure, gain, noise and pixel format. Pure; the noise comes from the seed and
the frame's number, so that the same frame always looks the same.
"""

import cv2
import numpy as np
import numpy.typing as npt

from inspector.errors import DataError
from line_sim.camera.pixel_format import PixelFormat, Values, pack
from line_sim.camera.settings import AcquisitionSettings
from line_sim.camera.source import FrameRequest, Image, Picture, bayer_rg, grey

NOMINAL_EXPOSURE_US = 1000.0
"""At this exposure and 0 dB the picture is as bright as the source shows it."""

_FULL_WELL_ELECTRONS = 10_000.0  # of a common industrial sensor with pixels of 3.5 um


def payload_of(
    picture: Picture, request: FrameRequest, settings: AcquisitionSettings, *, seed: int = 0
) -> Image:
    """Return the bytes of the region, flat and contiguous; raises DataError for a wrong picture."""
    _check(picture, request)
    binned = _bin(_region(picture, settings), settings)
    coloured = _colours(binned, settings.pixel_format)
    return pack(_light(coloured, settings, request.frame_id, seed), settings.pixel_format)


def brightness_of(exposure_us: float, gain_db: float) -> float:
    """Return the factor by which exposure and gain make the picture brighter."""
    return float(exposure_us / NOMINAL_EXPOSURE_US * 10 ** (gain_db / 20.0))


def _check(picture: Picture, request: FrameRequest) -> None:
    expected = (request.height, request.width)
    known = picture.dtype in (np.uint8, np.uint16)
    if not known or picture.shape[:2] != expected or picture.shape[2:] not in ((), (3,)):
        raise DataError(
            f"the frame source gave {picture.dtype} of shape {picture.shape}, "
            f"uint8 or uint16 of {expected} or {(*expected, 3)} is needed"
        )


def _region(picture: Picture, settings: AcquisitionSettings) -> Picture:
    across, down = settings.binning_horizontal, settings.binning_vertical
    top, left = settings.offset_y * down, settings.offset_x * across
    return picture[top : top + settings.height * down, left : left + settings.width * across]


def _bin(picture: Picture, settings: AcquisitionSettings) -> Picture:
    """Average neighbours; those of one colour where the picture is a Bayer mosaic."""
    across, down = settings.binning_horizontal, settings.binning_vertical
    if across == down == 1:
        return picture
    if picture.ndim == 2 and settings.pixel_format is PixelFormat.BAYER_RG8:
        mosaic: Picture = np.empty((settings.height, settings.width), dtype=picture.dtype)
        for row in (0, 1):
            for column in (0, 1):
                mosaic[row::2, column::2] = _mean(picture[row::2, column::2], across, down)
        return mosaic
    return _mean(picture, across, down)


def _mean(picture: Picture, across: int, down: int) -> Picture:
    rows, columns = picture.shape[0] // down, picture.shape[1] // across
    cells = picture.reshape(rows, down, columns, across, *picture.shape[2:])
    mean: npt.NDArray[np.float32] = np.rint(cells.mean(axis=(1, 3), dtype=np.float32))
    return mean.astype(np.uint8) if picture.dtype == np.uint8 else mean.astype(np.uint16)


def _colours(picture: Picture, pixel_format: PixelFormat) -> Picture:
    if pixel_format is PixelFormat.RGB8:
        if picture.ndim == 3:
            return picture
        rgb: Picture = np.empty((*picture.shape, 3), dtype=picture.dtype)
        rgb[:] = picture[:, :, None]
        return rgb
    if picture.ndim == 2:
        return picture
    return bayer_rg(picture) if pixel_format is PixelFormat.BAYER_RG8 else grey(picture)


def _light(picture: Picture, settings: AcquisitionSettings, frame_id: int, seed: int) -> Values:
    """Return the digital values that exposure and gain give."""
    brightness = brightness_of(settings.exposure_us, settings.gain_db)
    bits = settings.pixel_format.significant_bits
    if brightness == 1.0 and settings.gain_db == 0.0 and picture.dtype == np.uint8 and bits == 8:
        return picture
    full_scale = float(np.iinfo(picture.dtype).max)
    top = float(2**bits - 1)
    if settings.gain_db == 0.0:
        steps = np.arange(int(full_scale) + 1, dtype=np.float64) / full_scale
        table: npt.NDArray[np.float64] = np.rint(np.clip(steps * brightness, 0.0, 1.0) * top)
        if picture.dtype == np.uint8 and bits == 8:  # ten times as fast as numpy's indexing
            return np.asarray(cv2.LUT(np.ascontiguousarray(picture), table.astype(np.uint8)), dtype=np.uint8)
        return table.astype(np.uint8)[picture] if bits == 8 else table.astype(np.uint16)[picture]
    signal = picture.astype(np.float32) * np.float32(brightness / full_scale)
    signal += _noise(signal, settings.gain_db, np.random.default_rng((seed, frame_id)))
    values: npt.NDArray[np.float32] = np.rint(np.clip(signal, 0.0, 1.0) * np.float32(top))
    return values.astype(np.uint8) if bits == 8 else values.astype(np.uint16)


def _noise(
    signal: npt.NDArray[np.float32], gain_db: float, random: np.random.Generator
) -> npt.NDArray[np.float32]:
    """Return the shot noise that gain adds: a picture at gain g holds 1/g of the electrons.

    What the picture has at 0 dB is in the source's picture already (EMVA 1288, section 2).
    """
    gain = 10 ** (gain_db / 20.0)
    variance = np.maximum(signal, 0.0) * np.float32((gain - 1.0) / _FULL_WELL_ELECTRONS)
    # The read noise, 5 electrons, is amplified too.
    variance += np.float32((gain**2 - 1.0) * (5.0 / _FULL_WELL_ELECTRONS) ** 2)
    noise: npt.NDArray[np.float32] = random.standard_normal(signal.shape, dtype=np.float32)
    noise *= np.sqrt(variance)
    return noise
