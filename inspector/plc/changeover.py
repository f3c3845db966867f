"""When another recipe may be selected, and what to do when it may not. Pure.

The arbiter asks; who checks the recipe, keeps the choice and changes over is the supervisor.
"""

from inspector.clock import NS_PER_S
from inspector.recipe import no_such_recipe

_AGAIN_NS = 10 * NS_PER_S  # a program that sends its command in every cycle is answered once in so long


class Changeover:
    """One for the life of an arbiter, which ends with a changeover. `pending` is what the supervisor has in
    hand, or "".
    """

    def __init__(self, recipes: tuple[str, ...], in_use: str) -> None:
        self._recipes = recipes
        self._in_use = in_use
        self.pending = ""
        self._told = ""
        self._told_ns = 0

    @property
    def target(self) -> str:
        """The recipe that is in use, or will be. Selecting it is no mistake: QoS 1 may repeat a command."""
        return self.pending or self._in_use

    def why_not(self, recipe: str, *, stopped: bool, latched: bool, parts_open: bool) -> str:
        """Return why another recipe than `target` cannot be prepared now; "" when it can."""
        if recipe not in self._recipes:
            return no_such_recipe(recipe, self._recipes)
        if self.pending:
            return f"{self.pending} is being prepared; wait for the state Ready"
        if latched:
            return "an emergency is latched; RESET it first"
        if not stopped:
            return "the cell is not stopped; send STOP first"
        if parts_open:
            return "a part is being judged; send it again when its verdict is there"
        return ""

    def is_news(self, text: str, now_ns: int) -> bool:
        """Whether a refusal is to be told, or was a moment ago."""
        if text == self._told and now_ns - self._told_ns < _AGAIN_NS:
            return False
        self._told, self._told_ns = text, now_ns
        return True
