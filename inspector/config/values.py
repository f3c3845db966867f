"""Kinds of values that several parts of the configuration have."""

from typing import Annotated

from msgspec import Meta

# \Z and not $, which lets a newline follow.
Name = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}\Z")]
Probability = Annotated[float, Meta(ge=0.0, le=1.0)]
SfncValue = bool | int | float | str
