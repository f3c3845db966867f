"""What the cells of a campaign recorded, decided again by `inspector replay` and compared."""

import json
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from inspector.errors import ConfigError
from line_sim.campaign.cell import program

_META = "session.json"  # what makes a folder a session
_PATIENCE_S = 900.0  # a cell's session is replayed in seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """A session's verdicts, by what became of them in a replay. `kept` is the session, if it differs.

    `not_compared` came after inputs that were not recorded, up to the next start of the arbiter. `failed`
    says why there was no replay: a recorder that was killed or had no disk may leave nothing to compare.
    """

    session: str
    equal: int
    different: int
    not_compared: int
    kept: str = ""
    failed: str = ""


def replay(session: Path) -> Replayed:
    """Replay one session as a user would. Raises ConfigError when it cannot be replayed."""
    command = [program("inspector", "run `make setup`"), "replay", str(session), "--json"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_PATIENCE_S)
    except subprocess.TimeoutExpired as error:
        raise ConfigError(f"{session} cannot be replayed: not done after {_PATIENCE_S:.0f} s") from error
    try:
        found = json.loads(done.stdout)
        return Replayed(
            session=session.name,
            equal=found["equal"],
            different=found["different"],
            not_compared=found["not_compared"],
        )
    except (ValueError, KeyError) as error:
        raise ConfigError(f"{session} cannot be replayed: {done.stderr.strip()[-300:]}") from error


def sessions_in(folder: Path) -> list[Path]:
    """Return the sessions below a recorder's folder, oldest first."""
    return sorted(meta.parent for meta in folder.glob(f"*/{_META}"))


def to_line(replayed: Replayed) -> str:
    """One as a line of JSON."""
    return json.dumps(asdict(replayed), separators=(",", ":"))


def from_line(line: str) -> Replayed:
    """Read such a line. Raises ValueError or TypeError when it is none."""
    return Replayed(**json.loads(line))


def summary(replays: Sequence[Replayed]) -> str:
    """What the replays said, for people; "" when there were none."""
    failed = "".join(f" Could not be replayed: {each.failed}." for each in replays if each.failed)
    replays = [each for each in replays if not each.failed]
    if not replays:
        return failed.strip()
    equal, different, blind = (
        sum(getattr(each, name) for each in replays) for name in ("equal", "different", "not_compared")
    )
    text = f"Replayed from {len(replays)} recorded session{'s' * (len(replays) > 1)}: {equal} verdicts are "
    text += f"the same bit for bit, {different} are not, {blind} came after inputs that were not recorded."
    return text + "".join(f" See {each.kept}." for each in replays if each.kept) + failed
