"""What a person sees while the demo runs: a live table on a terminal, plain lines elsewhere."""

import sys
from collections import deque
from types import TracebackType
from typing import Any, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from inspector.services.demo_summary import STAGES

_ROWS = 12
_COLOURS = {"PASS": "green", "REJECT": "red", "HOLD": "yellow", "STOP": "bold white on red"}


class DemoView:
    """Shows parts as their verdicts arrive."""

    def __init__(self) -> None:
        self._console = Console(file=sys.stdout, highlight=False)
        self._rows: deque[dict[str, Any]] = deque(maxlen=_ROWS)
        self._explanation = ""
        self._status = ""
        self._counts = {"PASS": 0, "REJECT": 0, "HOLD": 0, "STOP": 0}
        live = self._console.is_terminal
        self._live = Live(self._render(), console=self._console, refresh_per_second=8) if live else None

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def status(self, text: str) -> None:
        """Say what is going on."""
        self._status = text
        self._line(text)

    def verdict(self, event: dict[str, Any], latency_ms: float | None) -> None:
        """A verdict reached the subscriber."""
        row = {**event, "latency": f"{latency_ms:.1f} ms" if latency_ms is not None else "-"}
        self._rows.append(row)
        self._counts[event["action"]] = self._counts.get(event["action"], 0) + 1
        self._line(
            f"{event['part_id'] or 'LINE':<9} {event['action']:<7} {event['decision']:<16} "
            f"{event['confidence']:.3f} {row['latency']:>9}  {_truth(event):<13} {_why(event)}"
        )

    def explanation(self, event: dict[str, Any]) -> None:
        """An explanation arrived, some time after its verdict."""
        where = event["part_id"] or "LINE"
        self._explanation = f"{where}: {event['text']} {event['recommended_action']} ({event['source']})"
        self._line(f"          > {self._explanation}")

    def note(self, text: str) -> None:
        """Something that should be noticed: an emergency, a fault, a late verdict."""
        self._status = text
        self._line(f"          ! {text}")

    def summary(self, summary: dict[str, Any]) -> None:
        """Print the result of the run."""
        self._console.print(_result_table(summary))
        self._console.print(_latency_table(summary))

    def _line(self, text: str) -> None:
        if self._live is not None:
            self._live.update(self._render())
        else:
            print(text, flush=True)

    def _render(self) -> RenderableType:
        table = Table(expand=True, header_style="bold")
        for name in ("part", "verdict", "decision", "confidence", "latency", "truth", "cause"):
            table.add_column(name)
        for row in self._rows:
            action = Text(row["action"], style=_COLOURS.get(row["action"], ""))
            table.add_row(
                row["part_id"] or "LINE",
                action,
                row["decision"],
                f"{row['confidence']:.3f}",
                row["latency"],
                _truth(row),
                _why(row),
            )
        counts = "   ".join(f"{name} {count}" for name, count in self._counts.items())
        return Group(
            table,
            Panel(Text(self._explanation or "none yet"), title="latest explanation", height=5),
            Text(f"{counts}   {self._status}", no_wrap=True, overflow="ellipsis"),
        )


def _truth(event: dict[str, Any]) -> str:
    return str(event.get("defect") or ("good" if event["part_id"] else ""))


def _why(event: dict[str, Any]) -> str:
    """The cause, and what was missing: the failsafe verdicts say why."""
    missing = f"missing {event['missing']}" if event["missing"] else ""
    return ": ".join(text for text in (event["cause"], missing) if text)


def _result_table(summary: dict[str, Any]) -> Table:
    table = Table(title="Result", show_header=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    accuracy = summary["accuracy"]
    table.add_row("parts", f"{summary['parts']}, with exactly one verdict {summary['verdicts']}")
    table.add_row("accuracy", "-" if accuracy is None else f"{accuracy:.2%} of {summary['judged']} judged")
    table.add_row("escapes / overkill", f"{summary['escapes']} / {summary['overkill']}")
    table.add_row("late verdicts", str(summary["late"]))
    table.add_row("undelivered", str(summary["undelivered"]))
    raised = summary["emergencies_raised"]
    table.add_row("emergencies", f"{summary['emergencies']} of {raised} stopped the line")
    table.add_row("explanations", f"{summary['explanations']} of {summary['explanations_expected']}")
    table.add_row("frames lost", str(summary["frames_lost"]))
    restarts = [f"{name} {count}" for name, count in summary["restarts"].items() if count]
    table.add_row("restarts", ", ".join(restarts) or "none")
    table.add_row("session", summary["session"] or "-")
    return table


def _latency_table(summary: dict[str, Any]) -> Table:
    table = Table(title="Latency, ms")
    table.add_column("stage", style="bold")
    for name in ("P50", "P95", "P99"):
        table.add_column(name, justify="right")
    table.add_row("frame complete to subscriber", *_cells(summary["latency_ms"]), end_section=True)
    for stage in STAGES:
        table.add_row(stage, *_cells(summary["stages_ms"][stage]))
    return table


def _cells(times: dict[str, float | None]) -> list[str]:
    return ["-" if value is None else f"{value:.2f}" for value in times.values()]
