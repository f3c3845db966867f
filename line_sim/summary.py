"""The result of a run for people: a short table."""

from rich.console import Console
from rich.table import Table

from line_sim.run_command import RunResult


def _share(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.2f} %"


def print_summary(result: RunResult, console: Console) -> None:
    """Print what a quality engineer asks first."""
    score = result.score
    table = Table(title="Line run", show_header=False, title_justify="left")
    rows = (
        ("parts", f"{score.parts} ({score.defective} defective)"),
        ("with exactly one verdict", f"{score.parts_with_one_verdict}"),
        ("without / with several", f"{score.parts_without_verdict} / {score.duplicates}"),
        ("late", f"{score.late}"),
        ("escapes (defective, passed)", f"{score.escapes}"),
        ("overkill (good, not passed)", f"{score.overkill}"),
        ("accuracy of judged parts", f"{_share(score.accuracy)} of {score.judged}"),
        ("AUROC of p_defect", "-" if score.image_auroc is None else f"{score.image_auroc:.4f}"),
        ("pending", f"{score.pending}"),
        ("emergencies braked", f"{score.emergencies_braked} of {score.emergencies_raised}"),
        ("explanations", f"{score.explanations} (expected {score.explanations_expected})"),
        ("undelivered / stale", f"{score.undelivered} / {score.stale}"),
        ("protocol violations", f"{score.violations}"),
        ("fault notices", f"{score.faults}"),
    )
    for name, value in rows:
        table.add_row(name, value)
    console.print(table)
    if result.interrupted:
        console.print("ended early by the user")
