"""The table of services: what runs, in which file, and what a cell cannot do without."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module

from inspector.config import Site
from inspector.services.loop import Context, Service


@dataclass(frozen=True, slots=True)
class ServiceSpec:
    """One process. `required`: the line is not told to run before it is ready."""

    name: str
    module: str
    required: bool = True
    argument: str = ""

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
        ServiceSpec("detector", "inspector.services.detector"),
        *(
            ServiceSpec(f"camera.{camera.id}", "inspector.services.camera", argument=camera.id)
            for camera in site.cameras
        ),
        *(
            ServiceSpec(
                f"modality.{each.sensor}", "inspector.services.modality", required=False, argument=each.sensor
            )
            for each in site.site.modalities
        ),
    )
