"""A register whose meaning a selector picks: one value for each value of the selector."""

from collections.abc import Mapping

from line_sim.camera.registers import RegisterMap


class Selected:
    """Not thread-safe: the device's lock guards it."""

    def __init__(
        self, memory: RegisterMap, selector: str, register: str, power_up: Mapping[int, int]
    ) -> None:
        self._memory = memory
        self._selector = selector
        self._register = register
        self._power_up = dict(power_up)
        self.values = dict(power_up)
        self.show()

    def reset(self) -> None:
        self.values = dict(self._power_up)
        self.show()

    def show(self) -> None:
        """Put the selected value into the register, after a write to the selector."""
        self._memory.store(self._register, self.values[self._memory.integer(self._selector)])

    def take(self) -> None:
        """Keep what was written to the register."""
        self.values[self._memory.integer(self._selector)] = self._memory.integer(self._register)
