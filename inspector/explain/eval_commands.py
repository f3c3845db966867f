"""`inspector explain ...`: how good explanations are."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from inspector.clock import SystemClock
from inspector.config import ExplainerConfig
from inspector.explain.eval_cases import Case, cases
from inspector.explain.eval_run import evaluate
from inspector.explain.eval_score import Outcome, Score, as_json
from inspector.explain.eval_table import WIDTH, table
from inspector.explain.start import TEMPLATE_ONLY
from inspector.explain.terms import Language
from inspector.explain.tune.command import TUNE_EPILOG, tune_command

app = typer.Typer(no_args_is_help=True, help="Explanations of verdicts.")
_TEMPLATE = "template"


app.command("tune", epilog=TUNE_EPILOG)(tune_command)


@app.callback()
def explain() -> None:
    """Explanations of verdicts."""


@app.command("eval")
def eval_command(
    models: Annotated[
        list[str] | None,
        typer.Argument(
            help="Names of `inspector models list`, GGUF files, 'template'; MODEL+FILE with an adapter."
        ),
    ] = None,
    *,
    count: Annotated[int, typer.Option("--count", "-n", min=1, max=10_000, help="How many incidents.")] = 40,
    seed: Annotated[int, typer.Option(help="Another seed is other incidents.")] = 1,
    threads: Annotated[int, typer.Option(min=1, help="Threads of the model.")] = 1,
    deadline: Annotated[float, typer.Option(min=0.1, help="Seconds for an explanation.")] = 60.0,
    language: Annotated[Language, typer.Option(help="The language that they are written in.")] = "en",
    as_machine: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
    show: Annotated[
        bool, typer.Option("--show", help="Print every text, and what is wrong with it.")
    ] = False,
) -> None:
    """Ask language models for explanations of made-up incidents whose causes are known.

    Left of the bar is what the model alone said first; right of it what the operator gets, checked,
    asked again once, or by the template.

    Examples:

        inspector explain eval

        inspector explain eval template qwen2.5-coder-1.5b smollm2-135m -n 40

        inspector explain eval template qwen2.5-coder-1.5b -n 40 --language de

        inspector explain eval qwen2.5-coder-1.5b -n 200 --seed 7 --json

        inspector explain eval smollm2-135m smollm2-135m+line4.lora.gguf
    """
    errors = Console(stderr=True)
    asked = cases(seed, count)
    scores: list[Score] = []
    for model in models or [_TEMPLATE]:
        name, _, adapter = (TEMPLATE_ONLY if model == _TEMPLATE else model).partition("+")
        config = ExplainerConfig(
            model=name,
            adapter=Path(adapter) if adapter else None,
            threads=threads,
            nice=0,
            deadline_s=deadline,
            language=language,
        )
        with Progress(console=errors, transient=True, disable=not errors.is_terminal) as progress:
            task = progress.add_task(model, total=count)

            def told(
                case: Case, text: str, found: Outcome, task: object = task, bar: Progress = progress
            ) -> None:
                bar.update(task, advance=1)  # type: ignore[arg-type]
                if show:
                    errors.print(_line(case, text, found), markup=False, highlight=False)

            scores.append(evaluate(config, asked, SystemClock(), told))
    if as_machine:
        typer.echo(as_json(scores, seed))
    else:
        found = table(scores, f"{count} incidents, seed {seed}, language {language}")
        Console(width=max(WIDTH, Console().width)).print(found)


def _line(case: Case, text: str, found: Outcome) -> str:
    names = ("raw_valid", "raw_faithful", "raw_cause", "model_wrote", "faithful", "cause", "action")
    wrong = [name for name in names if not getattr(found, name)]
    said = f"{case.record.verdict.verdict_id}: {text} ({found.seconds:.1f} s)"
    return (
        said
        + (f"\n   not {', '.join(wrong)}; wanted: {case.cause}" if wrong else "")
        + (f"\n   {found.problem}" if found.problem else "")
    )
