"""A visual inspection cell: GigE Vision frames in, verdicts with explanations over MQTT out."""

__version__ = "0.1.0"
