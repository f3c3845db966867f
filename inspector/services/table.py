"""The table of services: what runs, in which file, and what a cell cannot do without."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Final

from inspector.config import Site
from inspector.services.loop import Context, Service

_BUILD_S: Final = 1800.0  # an engine file that has gone stale is built again at the start


@dataclass(frozen=True, slots=True)
class ServiceSpec:
    """One process. `required`: the line is not told to run before it is ready. `of_recipe`: it begins anew
    with another recipe.

    `start_s` is how long its start may be silent before it counts as wedged; 60 s are what a language
    model may take to load from a cold disk.
    """

    name: str
    module: str
    required: bool = True
    argument: str = ""
    start_s: float = 60.0
    of_recipe: bool = True

    def factory(self) -> Callable[[Context], Service]:
        """Import the service's file, only now, in its own process, and return its `make`."""
        make: Callable[[Context, str], Service] = import_module(self.module).make
        return lambda context: make(context, self.argument)


def services(site: Site) -> tuple[ServiceSpec, ...]:
    """Return the services of a site. Those that others feed come first."""
    return (
        ServiceSpec("recorder", "inspector.services.recorder"),
        ServiceSpec("explainer", "inspector.services.explainer", required=False),
        ServiceSpec("arbiter", "inspector.services.arbiter"),
        _detector(site),
        *(
            ServiceSpec(
                f"camera.{camera.id}", "inspector.services.camera", argument=camera.id, of_recipe=False
            )
            for camera in site.cameras
        ),
        *(
            ServiceSpec(
                f"modality.{each.sensor}",
                "inspector.services.modality",
                required=False,
                argument=each.sensor,
                of_recipe=False,
            )
            for each in site.site.modalities
        ),
    )


def _detector(site: Site) -> ServiceSpec:
    name, module = "detector", "inspector.services.detector"
    if site.site.detector.engine == "tensorrt":
        return ServiceSpec(name, module, start_s=_BUILD_S)
    return ServiceSpec(name, module)
