"""Frame ids that go on where the camera's block ids wrap or start again."""

_BLOCK_IDS_16_BIT = 0xFFFF  # GVSP without extended ids counts 1 to 65535, 0 is not used
_MOST_MISSING = 0x8000


class FrameIds:
    """Continuing ids from 0; a gap means frames that never came. Belongs to one thread."""

    def __init__(self) -> None:
        self._next = 0
        self._block: int | None = None
        self.lost = 0

    def restart(self) -> None:
        """The camera starts to count again (acquisition start, reconnect). No gap is assumed."""
        self._block = None

    def of(self, block_id: int | None) -> int:
        """Return the frame id of a block (None: its leader was lost). Ids never repeat or go back."""
        if block_id is None:  # the best guess is the one that was due
            self._block = None if self._block is None else self._block % _BLOCK_IDS_16_BIT + 1
            self._next += 1
            return self._next - 1
        gap = 0 if self._block is None else self._gap(self._block, block_id)
        self._block = block_id
        self.lost += gap
        frame_id = self._next + gap
        self._next = frame_id + 1
        return frame_id

    @staticmethod
    def _gap(before: int, block_id: int) -> int:
        """Return how many blocks lie between. A step back or a huge one is a new count: none."""
        step = block_id - before
        if step < 0 and before <= _BLOCK_IDS_16_BIT:
            step = step % _BLOCK_IDS_16_BIT
        return step - 1 if 1 <= step < _MOST_MISSING else 0
