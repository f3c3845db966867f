"""Pixels of 8 to 16 bits on their way from the camera's packets to shared memory."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspector.camera.pixel_format import SUPPORTED_NAMES, layout_of
from inspector.camera.pixels import Pixels
from inspector.errors import DataError

# PFNC code, name, bits, pixels of a group; the packed ones of GigE Vision and of PFNC differ.
DEEP = [
    (0x01100003, "Mono10", 10, 1),
    (0x010C0004, "Mono10Packed", 10, 2),
    (0x010A0046, "Mono10p", 10, 4),
    (0x01100005, "Mono12", 12, 1),
    (0x010C0006, "Mono12Packed", 12, 2),
    (0x010C0047, "Mono12p", 12, 2),
    (0x01100007, "Mono16", 16, 1),
]


def packed(name: str, bits: int, line: list[int]) -> bytes:
    """Pack one line the slow way, from the wording of the standards."""
    if name.endswith("p"):  # PFNC: bit after bit, the lowest first
        number = sum(value << (bits * index) for index, value in enumerate(line))
        return number.to_bytes(len(line) * bits // 8, "little")
    if not name.endswith("Packed"):
        return b"".join(value.to_bytes(2, "little") for value in line)
    low = bits - 8  # GigE Vision: the high eight of the first, both low parts, those of the second
    mask = (1 << low) - 1
    octets = bytearray()
    for first, second in zip(line[::2], line[1::2], strict=True):
        octets += bytes((first >> low, (second & mask) << 4 | first & mask, second >> low))
    return bytes(octets)


@given(data=st.data(), kind=st.sampled_from(DEEP), groups=st.integers(1, 9), height=st.integers(1, 5))
def test_every_deep_format_is_unpacked(
    data: st.DataObject, kind: tuple[int, str, int, int], groups: int, height: int
) -> None:
    code, name, bits, group = kind
    width, padding = groups * group, data.draw(st.integers(0, 5))
    value = st.integers(0, (1 << bits) - 1)
    rows = [data.draw(st.lists(value, min_size=width, max_size=width)) for _ in range(height)]
    memory = b"".join(packed(name, bits, row) + b"\xee" * padding for row in rows)
    truth = np.array(rows, np.uint16)
    wide = Pixels.of(memory, layout_of(code, "cam1"), width, height, padding, 16)
    assert wide.pixel_format == f"Mono{bits}"
    assert np.array_equal(wide.image(), truth)
    assert np.array_equal(written(wide).view(np.uint16).reshape(height, width), truth)
    high = Pixels.of(memory, layout_of(code, "cam1"), width, height, padding, 8)
    assert high.pixel_format == "Mono8"
    assert np.array_equal(high.image(), truth >> (bits - 8))
    assert np.array_equal(written(high).reshape(height, width), truth >> (bits - 8))


def written(pixels: Pixels) -> npt.NDArray[np.uint8]:
    destination = np.full(pixels.size_bytes, 0xAA, np.uint8)
    pixels.write_to(destination)
    return destination


def test_an_image_larger_than_a_band_is_whole() -> None:
    values = np.random.default_rng(1).integers(0, 4096, (700, 640), dtype=np.uint16)
    memory = b"".join(packed("Mono12Packed", 12, row) for row in values.tolist())
    pixels = Pixels.of(memory, layout_of(0x010C0006, "cam1"), 640, 700, 0, 16)
    assert np.array_equal(written(pixels).view(np.uint16).reshape(700, 640), values)


@pytest.mark.parametrize("bits", [8, 16])
def test_eight_bit_formats_stay_as_they_are(bits: int) -> None:
    for code, name in ((0x01080001, "Mono8"), (0x01080009, "BayerRG8"), (0x02180014, "RGB8")):
        layout = layout_of(code, "cam1")
        line = bytes(range(4 * layout.channels))
        pixels = Pixels.of((line + b"\xee") * 3, layout, 4, 3, 1, bits)
        assert pixels.pixel_format == name
        assert written(pixels).tobytes() == line * 3


def test_a_width_that_ends_within_a_group_is_refused() -> None:
    for code, width in ((0x010C0006, 5), (0x010A0046, 6)):
        with pytest.raises(DataError, match="multiple of"):
            Pixels.of(bytes(1000), layout_of(code, "cam1"), width, 2, 0, 8)


def test_another_size_of_memory_is_refused() -> None:
    pixels = Pixels.of(bytes(12), layout_of(0x01080001, "cam1"), 4, 3, 0, 8)
    for size in (11, 13):
        with pytest.raises(DataError):
            pixels.write_to(np.zeros(size, np.uint8))


def test_all_formats_of_the_bus_are_offered() -> None:
    assert {"Mono8", "Mono10Packed", "Mono12Packed", "Mono12p", "Mono16", "RGB8"} <= set(SUPPORTED_NAMES)
