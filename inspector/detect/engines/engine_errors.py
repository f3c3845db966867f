"""How engines fail. What happens then: a frame without a verdict, or a restart of the detector."""

from inspector.errors import ModelError


class RunError(ModelError):
    """One run failed; the next may succeed. Its frames get ENGINE_ERROR."""


class EngineLostError(ModelError):
    """The engine computes no more (device lost, sticky error, stuck run): restart the process."""
