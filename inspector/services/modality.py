"""One plug-in modality as a service: what it says, onto the bus. The arbiter judges it by the site's rule."""

from importlib.metadata import entry_points

from inspector.config import ModalityConfig, Site
from inspector.errors import ConfigError
from inspector.modality import GROUP, Factory
from inspector.services.loop import Context
from inspector.topics import STATEMENTS
from inspector.types import Statement


class ModalityService:
    """Wiring between the plug-in and the bus."""

    def __init__(self, context: Context, config: ModalityConfig) -> None:
        self._context = context
        self._sensor_id = config.sensor
        self._statements = context.bus.publisher(STATEMENTS)
        self._seq = 0
        self._modality = factory_of(config)(config.options, context.clock, context.bus.wake)

    def step(self) -> int | None:
        said = self._modality.poll()
        self._context.degraded = ""
        for each in said:
            self._seq += 1
            self._statements.send(
                Statement(sensor_id=self._sensor_id, value=each.value, seq=self._seq, begun_ns=each.begun_ns)
            )
            self._context.counters["statements"] += 1
        return None

    def close(self) -> None:
        self._modality.close()


def make(context: Context, argument: str) -> ModalityService:
    return ModalityService(context, _config(context.site, argument))


def factory_of(config: ModalityConfig) -> Factory:
    """Find the plug-in. Raises ConfigError when none of this name is installed."""
    installed = entry_points(group=GROUP)
    found = [each for each in installed if each.name == config.name]
    if not found:
        names = ", ".join(sorted(installed.names)) or "none"
        raise ConfigError(f"modalities: {config.name}: no such plug-in; installed: {names}")
    try:
        factory: Factory = found[0].load()
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"modalities: {config.name}: its plug-in cannot be loaded: {error}") from error
    return factory


def _config(site: Site, sensor: str) -> ModalityConfig:
    return next(each for each in site.site.modalities if each.sensor == sensor)
