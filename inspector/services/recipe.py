"""The recipe in use: the supervisor's choice, kept on the disk beside what waits for the PLC."""

from pathlib import Path

from inspector.config import Site
from inspector.config_load import load_site
from inspector.errors import ConfigError
from inspector.recipe import apply_recipe
from inspector.services.setup import arbiter_setup, outbox_folder
from inspector.store.layout import store_error, write_durably

FILE = "recipe"


def recipe_in_use(site: Site) -> str:
    """Return the recipe that was selected last, else the one that the site file begins with, else "".

    Raises:
        ConfigError: the one that was selected is not in the site file any more. Another product's model
            is no substitute, so somebody must say what is to be done.
    """
    path = outbox_folder(site) / FILE
    try:
        name = path.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return site.site.recipe
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read ({error}); delete it to begin with `recipe`") from error
    if name not in {recipe.name for recipe in site.site.recipes}:
        raise ConfigError(
            f"recipes: {name} was selected and is not there any more; put it back, or delete {path} "
            "to begin with `recipe` of the site file"
        )
    return name


def examine_recipe(site: Site, name: str) -> str:
    """Return the hash of its model. Raises ConfigError or ModelError when the recipe cannot be used."""
    return arbiter_setup(apply_recipe(site, name)).model_sha256


def select_recipe(site: Site, site_file: Path, name: str) -> None:
    """Examine a recipe, and keep it as the one to use, over power cuts too.

    Raises:
        ConfigError, ModelError: it cannot be used, or the site file is not the one that runs.
        StoreError: the disk does not take the choice.
    """
    if load_site(site_file).config_sha256 != site.config_sha256:
        raise ConfigError(f"{site_file} was changed since the start; end the cell and run it again first")
    examine_recipe(site, name)
    path = outbox_folder(site) / FILE
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_durably(path, f"{name}\n".encode())
    except OSError as error:
        raise store_error(path, error) from error
