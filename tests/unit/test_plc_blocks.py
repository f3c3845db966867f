"""The sample blocks for PLCs, their bodies run line by line: what a part gets, whatever comes when."""

import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

KIT = Path(__file__).parents[2] / "deploy" / "plc"
BLOCKS = ("codesys/FB_InspectorVerdict.st", "siemens/InspectorVerdict.scl")
# Names of the S7 block, and those of the other one.
NAMES = {
    **{"pass": "bPass", "reject": "bReject", "hold": "bHold", "noVerdict": "bNoVerdict", "stop": "bStop"},
    **{"new": "bNew", "length": "nLen", "expected": "sExpected", "triggered": "bTriggered", "part": "sPart"},
    **{"open": "bOpen", "openPart": "sOpen", "verdict": "stVerdict", "seen": "asSeen", "seenAt": "nSeen"},
    **{
        "beat": "bBeat",
        "available": "bAvailable",
        "latched": "bLatched",
        "reset": "bReset",
        "data": "abData",
    },
    **{"nowUtcNs": "nNowUtcNs", "waitTime": "tWait", "waitTimer": "tonWait", "beatTimer": "tonBeat"},
}
_WORDS = {"AND": "and", "OR": "or", "NOT": "not", "MOD": "%", "TRUE": "True", "FALSE": "False"}


def python_of(text: str) -> str:
    """The statements of a block as Python: both languages share all that these blocks use."""
    body = (
        re.split(r"^BEGIN$", text, flags=re.M)[-1] if "BEGIN" in text else text[text.rindex("END_VAR") + 7 :]
    )
    body = re.sub(r"//.*", "", body).replace("END_FUNCTION_BLOCK", "")
    body = body.replace("T#3S", "3000").replace("<>", "!=")
    body = re.sub(r"#(\w+)", lambda name: NAMES.get(name[1], name[1]), body)
    body = re.sub(
        r'"Json(\w+)"\(key := (\S+), length := nLen, data := abData\)', r"F_Json\1(abData, nLen, \2)", body
    )
    body = re.sub(r"(?<![:<>!])=", "==", body).replace(":=", "=")
    body = re.sub(r"\b(AND|OR|NOT|MOD|TRUE|FALSE)\b", lambda word: _WORDS[word[0]], body)
    lines, depth = [], 0
    for line in map(str.strip, body.splitlines()):
        if line.startswith(("END_", "ELSE", "ELSIF")):
            depth -= 1
        if line and not line.startswith("END_"):
            new = re.sub(
                r"^(IF|ELSIF) (.*) THEN$", lambda m: f"{m[1].lower().replace('lsi', 'li')} {m[2]}:", line
            )
            new = re.sub(r"^FOR (\w+) = (\d+) TO (\d+) DO$", r"for \1 in range(\2, \3 + 1):", new)
            lines.append("    " * depth + new.replace("ELSE", "else:"))
        if line.startswith(("IF ", "FOR ", "ELSIF ", "ELSE")):
            depth += 1
    return "\n".join(lines)


class Timer:
    """TON of IEC 61131-3, in cycles of 10 ms."""

    def __init__(self) -> None:
        self.ms, self.Q = 0, False

    def __call__(self, *, IN: bool, PT: int) -> None:  # noqa: N803 - names of the standard
        self.ms = self.ms + 10 if IN else 0
        self.Q = self.ms >= PT


class Block:
    """One instance."""

    def __init__(self, name: str) -> None:
        self._code = compile(python_of((KIT / name).read_text()), name, "exec")
        self.names: dict[str, Any] = {
            **dict.fromkeys(("bNew", "bTriggered", "bBeat", "bLatched", "bReset", "bOpen", "bStop"), False),
            **{"bAvailable": True, "tWait": 500, "nLen": 0, "nSeen": 0, "abData": {}, "asSeen": [""] * 16},
            **{"tonWait": Timer(), "tonBeat": Timer(), "stVerdict": SimpleNamespace(), "nNowUtcNs": 1000},
            **{"sExpected": "", "sOpen": "", "sPart": "", "ADR": lambda data: data},
            **{"F_JsonText": _read, "F_JsonWhole": _read, "F_JsonTrue": _read},
        }

    def cycle(self, *, trigger: str = "", part_id: str = "", ok: bool = True) -> tuple[str, set[str]]:
        """One cycle; returns the part that the outputs are about, and which of them are set."""
        self.names |= {"bTriggered": bool(trigger), "bNew": bool(part_id)}
        if trigger:
            self.names["sExpected"] = trigger
        if part_id:
            self.names["abData"] = {
                **dict.fromkeys(("decision", "action", "reason", "cause", "missing"), ""),
                **{"verdict_id": f"v-{part_id}", "part_id": part_id, "seq": 1, "ok": ok, "ng": not ok},
                **{"trigger_utc_ns": 0, "valid_until_utc_ns": 2000, "failsafe": False, "ready": True},
            }
            self.names["nLen"] = len(json.dumps(self.names["abData"]))
        exec(self._code, self.names)
        flags = {name for name in ("bPass", "bReject", "bHold", "bNoVerdict") if self.names[name]}
        return self.names["sPart"], flags


def _read(data: dict[str, Any], _length: int, key: str) -> Any:
    return data[key]


@pytest.fixture(params=BLOCKS)
def block(request: pytest.FixtureRequest) -> Block:
    return Block(request.param)


def test_a_part_gets_its_verdict_or_is_held(block: Block) -> None:
    block.cycle(trigger="P1")
    assert block.cycle(part_id="P1") == ("P1", {"bPass"})
    block.cycle(trigger="P2")
    assert block.cycle(part_id="P2", ok=False) == ("P2", {"bReject"})
    block.cycle(trigger="P3")
    held = [found for _ in range(60) if (found := block.cycle())[1]]
    assert held == [("P3", {"bHold", "bNoVerdict"})]


def test_a_part_whose_verdict_is_not_there_at_the_next_trigger_is_held(block: Block) -> None:
    block.cycle(trigger="P1")
    assert block.cycle(trigger="P2") == ("P1", {"bHold", "bNoVerdict"})
    assert block.cycle(part_id="P1")[1] == set()
    assert block.cycle(part_id="P2") == ("P2", {"bPass"})


def test_a_verdict_in_the_cycle_of_the_next_trigger_is_for_its_own_part(block: Block) -> None:
    block.cycle(trigger="P1")
    assert block.cycle(trigger="P2", part_id="P1") == ("P1", {"bPass"})
    assert block.cycle(part_id="P2") == ("P2", {"bPass"})
