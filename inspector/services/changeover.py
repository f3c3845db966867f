"""SELECT_RECIPE: from the arbiter, which knows whether it may be, to the supervisor, which does it."""

from inspector.plc.changeover import Changeover
from inspector.services.loop import Context
from inspector.topics import RECIPE_REFUSED, SELECT_RECIPE
from inspector.types import SelectRecipe


class RecipeCommands:
    """Wiring for the arbiter's thread. What is refused is told as the fault RECIPE_REFUSED."""

    def __init__(self, context: Context) -> None:
        site = context.site.site
        self._context = context
        self._changeover = Changeover(tuple(recipe.name for recipe in site.recipes), site.recipe)
        self._selected = context.bus.publisher(SELECT_RECIPE)
        self._refusals = context.bus.subscriber(RECIPE_REFUSED)

    @property
    def changing(self) -> bool:
        """Whether the supervisor has a recipe in hand: it refuses it, or ends this process."""
        return self._changeover.pending != ""

    def take(self, recipe: str, *, stopped: bool, latched: bool, parts_open: bool) -> None:
        """Take a command."""
        changeover = self._changeover
        if recipe == changeover.target:
            return
        refused = changeover.why_not(recipe, stopped=stopped, latched=latched, parts_open=parts_open)
        if refused:
            self._refuse(recipe, refused)
            return
        changeover.pending = recipe
        self._selected.send(SelectRecipe(recipe=recipe))

    def poll(self) -> None:
        """Hear the supervisor."""
        for refusal in self._refusals.drain():
            self._changeover.pending = ""
            self._refuse(refusal.recipe, refusal.reason)

    def _refuse(self, recipe: str, reason: str) -> None:
        text = f"{recipe} is not selected: {reason}"
        if self._changeover.is_news(text, self._context.clock.now_ns()):
            self._context.fault("RECIPE_REFUSED", text)
