"""The site as it is while a recipe is used. Pure."""

import hashlib
from collections.abc import Sequence

from msgspec.structs import asdict, replace

from inspector.config import Site
from inspector.errors import ConfigError


def apply_recipe(site: Site, name: str) -> Site:
    """Return the site with what the recipe `name` sets; "" is the site as it stands.

    `site` is one as it was read from its file. Its hash is of all recipes, so with the name it tells
    every effective site from every other.

    Raises:
        ConfigError: the site has no such recipe; names those that it has.
    """
    if not name:
        return replace(site, site=replace(site.site, recipe=""))
    recipe = next((each for each in site.site.recipes if each.name == name), None)
    if recipe is None:
        raise ConfigError(no_such_recipe(name, [each.name for each in site.site.recipes]))
    decision = {key: value for key, value in asdict(recipe.decision).items() if value is not None}
    effective = replace(
        site.site,
        recipe=name,
        detector=replace(site.site.detector, model=recipe.model),
        decision=replace(site.site.decision, **decision),
    )
    sha256 = hashlib.sha256(f"{site.config_sha256} {name}".encode()).hexdigest()
    return replace(site, site=effective, config_sha256=sha256)


def no_such_recipe(name: str, recipes: Sequence[str]) -> str:
    """Say that it is not there, and which are."""
    there = f"there are {', '.join(recipes)}" if recipes else "the site file lists none under recipes"
    return f"there is no recipe {name}; {there}"
