"""The one exception tree. Adapters translate what a vendor's library raises with ``raise ... from``.

What happens after an error is decided in one place, the service loop (`inspector.services.loop`);
nothing else catches `InspectorError`.
"""


class InspectorError(Exception):
    """Base of everything that we raise on purpose. The text says what is wrong and what to do."""


class ConfigError(InspectorError):
    """A file, key or argument is wrong. One clear line to the user, exit status 2."""


class DeviceError(InspectorError):
    """A camera or other device failed. The service retries with backoff and reports a Fault."""


class DataError(InspectorError):
    """One input (packet, payload, image) is malformed. It is dropped, counted, and is evidence missing."""


class ModelError(InspectorError):
    """A model or engine cannot be loaded or run."""


class DeliveryError(InspectorError):
    """A message could not be handed to the broker. It stays in the outbox while it is valid."""


class StoreError(InspectorError):
    """The disk failed. Recording degrades; a verdict is never held up."""


class InvariantError(InspectorError):
    """A promise of our own code is broken. The service crashes and is restarted."""
