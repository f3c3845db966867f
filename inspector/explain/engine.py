"""What the explainer needs of a language model, whoever runs it."""

from dataclasses import dataclass
from typing import Any, Protocol

from inspector.errors import ModelError
from inspector.explain.prompt import Prompt

Schema = dict[str, Any]
"""A JSON Schema (draft 2020-12); engines force their output into it."""


class DeadlineError(ModelError):
    """The deadline came before the answer. The engine itself may be well."""


class PreemptedError(ModelError):
    """Someone called `interrupt`: the engine is well and was needed for something else."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What one answer took, in tokens: read anew, found in the cache, written. 0 where not known."""

    read: int = 0
    cached: int = 0
    written: int = 0


class Engine(Protocol):
    """A language model, in this process or behind a server. One caller at a time."""

    @property
    def usage(self) -> Usage:
        """What the last answer took."""
        ...

    @property
    def model_sha256(self) -> str:
        """SHA-256 of the weights, lower-case hexadecimal."""
        ...

    def complete(self, prompt: Prompt, schema: Schema, deadline_ns: int) -> str:
        """Return the model's answer, a JSON text that `schema` allows.

        Returns or raises by `deadline_ns` (CLOCK_MONOTONIC). Raises DeadlineError when the
        answer is not there by then, ModelError when the model cannot answer at all.
        """
        ...

    def choose(self, prompt: Prompt, choices: tuple[str, ...], deadline_ns: int) -> tuple[float, ...]:
        """Return the probability of each of `choices`, single tokens, as the answer. They add up to 1.

        Returns and raises as `complete` does.
        """
        ...

    def interrupt(self) -> None:
        """Have the call that is in progress raise PreemptedError, within one token. From any thread."""
        ...

    def close(self) -> None:
        """Stop generating and free the model. May be called more than once."""
        ...
