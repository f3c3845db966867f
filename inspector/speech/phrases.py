"""What an operator may say, and what it means. Pure: options to a grammar, a phrase to a value."""

import re
from collections.abc import Mapping

from inspector.errors import ConfigError
from inspector.modality import Options

REJECT, CONFIRM = 1.0, 0.0
_DEFAULT: dict[str, tuple[str, ...]] = {
    "reject": ("reject this part", "reject part"),
    "confirm": ("confirm this part", "part is good"),
}
_VALUES = {"reject": REJECT, "confirm": CONFIRM}
_PHRASE = re.compile(r"^[a-z']+( [a-z']+)*$")


def phrases(options: Options) -> dict[str, float]:
    """Return each phrase with its value, from the options `reject` and `confirm`. Raises ConfigError."""
    found: dict[str, float] = {}
    for name, value in _VALUES.items():
        said = options.get(name, _DEFAULT[name])
        if not isinstance(said, tuple) or not said:
            raise ConfigError(f"speech: {name}: give a list of phrases")
        for phrase in said:
            if not _PHRASE.match(phrase):
                raise ConfigError(f"speech: {name}: {phrase!r}: words in lower case, with one blank between")
            if phrase in found:
                raise ConfigError(f"speech: {name}: {phrase!r} is there already")
            found[phrase] = value
    return found


def grammar(said: Mapping[str, float]) -> str:
    """Return the phrases as a JSpeech Grammar Format grammar (W3C note, 2000)."""
    return f"#JSGF V1.0; grammar phrases; public <phrase> = {' | '.join(sorted(said))};"
