"""What a campaign found, as Markdown and as one JSON object; its runs as JSON lines. Pure."""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, fields
from typing import Any

from line_sim.campaign.judge import Finding, Record
from line_sim.campaign.replays import Replayed, summary

_NEVER = ("lost", "duplicate", "late", "stale", "violation", "missed", "cell")


def to_line(record: Record) -> str:
    """One run as a line of JSON."""
    data = {field.name: getattr(record, field.name) for field in fields(record)}
    data["findings"] = [asdict(finding) for finding in record.findings]
    return json.dumps(data, separators=(",", ":"))


def from_line(line: str) -> Record:
    """Read such a line. Raises ValueError, TypeError or KeyError when it is none."""
    data = json.loads(line)
    data["findings"] = [Finding(**finding) for finding in data["findings"]]
    data["excused"], data["failsafe"] = Counter(data["excused"]), Counter(data["failsafe"])
    return Record(**data)


def totals(records: Sequence[Record], seed: int, replays: Sequence[Replayed] = ()) -> dict[str, Any]:
    """The campaign in numbers; of the replays only where there were some."""
    found = Counter(finding.kind for record in records for finding in record.findings)
    return {
        "seed": seed,
        "runs": len(records),
        "failed": sum(record.failed for record in records),
        "parts": sum(record.parts for record in records),
        "one_verdict": sum(record.one_verdict for record in records),
        **{kind: found[kind] for kind in _NEVER},
        "excused": dict(_sum(record.excused for record in records).most_common()),
        "failsafe": dict(_sum(record.failsafe for record in records).most_common()),
        "refused": sum(record.refused for record in records),
        "emergencies": sum(record.emergencies for record in records),
        "escapes": sum(record.escapes for record in records),
        "seconds": round(sum(record.seconds for record in records), 1),
        **({"replay": _compared(replays)} if replays else {}),
    }


def markdown(records: Sequence[Record], seed: int, replays: Sequence[Replayed] = ()) -> str:
    """The report for people: totals, one row for each kind of fault, why parts were held, failures."""
    total = totals(records, seed)
    lines = [
        f"# Fault campaign, seed {seed}",
        "",
        f"{total['runs']} runs, {total['parts']} parts, {total['one_verdict']} with exactly one verdict, "
        f"{total['emergencies']} emergencies braked, {total['failed']} runs failed.",
        *(["", summary(replays)] if replays else []),
        "",
        "| fault | runs | parts | lost | twice | late | stale | way not open | refused | failsafe |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    by_kind: dict[str, list[Record]] = {}
    for record in records:
        for kind in {fault.partition(" ")[0] for fault in record.faults} or {"none"}:
            by_kind.setdefault(kind, []).append(record)
    for name, members in [*sorted(by_kind.items()), ("**all**", list(records))]:
        row = totals(members, seed)
        cells = [row["runs"], row["parts"], row["lost"], row["duplicate"], row["late"], row["stale"]]
        cells += [sum(row["excused"].values()), row["refused"], sum(row["failsafe"].values())]
        lines.append(f"| {name} | " + " | ".join(map(str, cells)) + " |")
    lines += [
        "",
        "A run has up to four faults and stands in the row of each. Late and stale count parts whose way "
        "to the cell and back was open; the others that came late are under way not open, and refused of "
        "these are verdicts that came after their validity, which the PLC recognised by it.",
    ]
    lines += _table("Why a verdict was the failsafe", total["failsafe"])
    lines += _table("Why one could not come in time", total["excused"])
    lines += ["", "## Failures", ""]
    failed = [record for record in records if record.failed]
    lines += [line for record in failed for line in _failure(record)] or ["None."]
    return "\n".join(lines) + "\n"


def _compared(replays: Sequence[Replayed]) -> dict[str, int]:
    names = ("equal", "different", "not_compared")
    compared = {name: sum(getattr(each, name) for each in replays) for name in names}
    return compared | {"not_replayed": sum(bool(each.failed) for each in replays)}


def _table(title: str, counts: dict[str, int]) -> list[str]:
    rows = [f"| {cause} | {count} |" for cause, count in counts.items()]
    return ["", f"| {title} | parts |", "|---|---|", *(rows or ["| - | 0 |"])]


def _failure(record: Record) -> list[str]:
    again = {None: "not tried again", True: "reproduced", False: "not reproduced"}[record.reproduced]
    where = f", `line-sim campaign --scenario {record.scenario_file}`" if record.scenario_file else ""
    busy = f"this machine stood still for up to {record.stall_ms:.0f} ms"
    lines = [f"- run {record.number} ({again}{where}; {busy}): {', '.join(record.faults) or 'no fault'}"]
    lines += [f"  - {finding.kind}: {finding.text}" for finding in record.findings[:8]]
    more = len(record.findings) - 8
    return lines + ([f"  - and {more} more"] if more > 0 else [])


def _sum(counters: Iterable[Counter[str]]) -> Counter[str]:
    total: Counter[str] = Counter()
    for counter in counters:
        total.update(counter)
    return total
