"""The table of `inspector explain eval` and of `inspector explain tune`."""

from collections.abc import Sequence

from rich.table import Table

from inspector.explain.eval_score import Score

WIDTH = 130
"""What the table needs; a narrower terminal wraps it rather than losing figures."""


def table(scores: Sequence[Score], title: str) -> Table:
    """Return one row for each score: left of the bar the model alone, right of it what is published."""
    made = Table(title=title, box=None)
    heads = (
        "model",
        "valid",
        "faithful",
        "names it",
        "|",
        "template",
        "faithful",
        "cause",
        "action",
        "s",
        "p95 s",
    )
    for head in (*heads, "tokens/s"):
        made.add_column(head, justify="left" if head == "model" else "right", no_wrap=True)
    for each in scores:
        shares = (each.raw_valid, each.raw_faithful, each.raw_cause)
        alone = ["-"] * 3 if each.model == "template alone" else [_percent(share) for share in shares]
        told = [_percent(share) for share in (each.template, each.faithful, each.cause, each.action)]
        took = [f"{each.median_s:.2f}", f"{each.p95_s:.2f}", f"{each.tokens_per_s:.1f}"]
        made.add_row(each.model, *alone, "|", *told, *took)
    return made


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
