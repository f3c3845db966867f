"""The pixel formats that we can hand on, by PFNC code. The SFNC name stays as the camera has it."""

from dataclasses import dataclass

from harvesters.util.pfnc import dict_by_ints

from inspector.errors import ConfigError


@dataclass(frozen=True, slots=True)
class PixelLayout:
    """How the pixels of one format lie in a line."""

    name: str
    channels: int

    @property
    def bytes_per_pixel(self) -> int:
        return self.channels


# PFNC 2.4, section 5: 8 bits a channel, lines without gaps but for the padding that is announced.
_SUPPORTED = {
    0x01080001: PixelLayout("Mono8", 1),
    0x01080009: PixelLayout("BayerRG8", 1),
    0x02180014: PixelLayout("RGB8", 3),
}
SUPPORTED_NAMES = tuple(layout.name for layout in _SUPPORTED.values())


def layout_of(code: int, camera_id: str) -> PixelLayout:
    """Return the layout of a PFNC code. Raises ConfigError for one that we do not take."""
    layout = _SUPPORTED.get(code)
    if layout is None:
        name = dict_by_ints.get(code, f"0x{code:08X}")
        raise ConfigError(
            f"camera {camera_id}: pixel format {name} is not supported, "
            f"set PixelFormat to {' or '.join(SUPPORTED_NAMES)}"
        )
    return layout
