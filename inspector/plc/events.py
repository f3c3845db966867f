"""What the network thread tells the caller's thread about the connection. Data only.

`generation` counts connections, so that an answer to a message of an earlier one is told apart.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Connected:
    generation: int
    window: int  # the broker's Receive Maximum
    protocol: str


@dataclass(frozen=True, slots=True)
class Lost:
    """The connection `generation` ended, or (0) an attempt failed. `reason` says what to do."""

    generation: int
    reason: str
    code: str = "BROKER_LOST"


@dataclass(frozen=True, slots=True)
class Acked:
    """The broker's answer to a QoS 1 message. `taken` is false when it refused it."""

    generation: int
    mid: int
    taken: bool
    reason: str


@dataclass(frozen=True, slots=True)
class SubscriptionRefused:
    generation: int
    reason: str


@dataclass(frozen=True, slots=True)
class Will:
    """What the broker says for us when we are gone without a word. At QoS 1."""

    topic: str
    payload: bytes
    retain: bool


LinkEvent = Connected | Lost | Acked | SubscriptionRefused
