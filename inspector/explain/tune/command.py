"""`inspector explain tune`: from a model and a site to an adapter that words explanations better."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from msgspec.structs import replace
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from inspector.clock import SystemClock
from inspector.config import ExplainerConfig
from inspector.config_load import load_site, model_folder
from inspector.errors import ConfigError
from inspector.explain.eval_cases import Case
from inspector.explain.eval_run import evaluate
from inspector.explain.eval_score import Outcome
from inspector.explain.eval_table import WIDTH, table
from inspector.explain.facts import line_context
from inspector.explain.knowledge_load import load_knowledge
from inspector.explain.tune.corpus import Corpus, SiteNames, corpus
from inspector.explain.tune.gate import Measured, load_measured, refusal, save_measured
from inspector.explain.tune.incidents import Example, examples
from inspector.explain.tune.lora_file import check_size, write_lora
from inspector.explain.tune.site_words import labels_in, site_words
from inspector.explain.weights import LocalModel, resolve

if TYPE_CHECKING:
    from inspector.explain.tune.tokens import Tokens

_STOPPED: Final = 130  # 128 + SIGINT, as shells have it
_NO_BETTER: Final = 1
_DEADLINE_S: Final = 600.0
"""Here quality is measured, not speed: nobody waits, and the machine may be busy."""
_NEEDS = "tuning needs torch and gguf: pip install gguf torch --extra-index-url https://download.pytorch.org/whl/cpu"
TUNE_EPILOG: Final = """Examples:

inspector explain tune smollm2-135m --out smollm2.lora.gguf

inspector explain tune qwen2.5-coder-1.5b --site site.yaml --out line4.lora.gguf    (1.5 B: with a GPU)

Then in the site file: explainer: {model: smollm2-135m, adapter: smollm2.lora.gguf}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """`about` names all that a tuning depends on: what another left behind is not gone on with."""

    about: str
    passes: int
    rank: int
    rate: float
    threads: int
    seed: int


def tune_command(
    model: Annotated[str, typer.Argument(help="A name of `inspector models list`, or a GGUF file.")],
    *,
    out: Annotated[Path, typer.Option(help="The adapter's file, under 20 MB.")],
    site: Annotated[
        Path | None,
        typer.Option(help="A site file: its sensors, labels and confirmed incidents are learned."),
    ] = None,
    count: Annotated[
        int, typer.Option("--count", "-n", min=16, max=100_000, help="Incidents to learn from.")
    ] = 800,
    measure: Annotated[int, typer.Option(min=1, max=10_000, help="Incidents to measure with.")] = 60,
    passes: Annotated[int, typer.Option(min=1, max=20, help="How often each incident is read.")] = 1,
    rank: Annotated[int, typer.Option(min=1, max=64, help="Rank of the adapter: its size.")] = 8,
    rate: Annotated[float, typer.Option(min=1e-6, max=0.1, help="Highest learning rate.")] = 1e-3,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = 2,
    seed: Annotated[int, typer.Option(help="Another seed is other incidents.")] = 1,
) -> None:
    """Fit a language model to explanations: learn, measure before and after, keep it only if it is better.

    Stop it whenever; the same command goes on. Exit status 1: the adapter is no better and was not kept.
    """
    console = Console(stderr=True)
    base = resolve(model)
    work = out.with_name(f".{out.name}.tuning")
    made = corpus(count, measure, seed, site_names(site) if site else None)
    about = json.dumps([base.sha256, made.digest, passes, rank, rate, seed])
    candidate = work / "candidate.gguf"
    check_size(base.path, rank)
    options = Options(about=about, passes=passes, rank=rank, rate=rate, threads=threads, seed=seed)
    try:
        with _bar(console) as bar:
            _learn(base, made, candidate, options, bar)
            alone = ExplainerConfig(model=model, threads=threads, nice=0, deadline_s=_DEADLINE_S)
            tuned = replace(alone, adapter=candidate.resolve())
            before = _measured(alone, made.measure, work / "before.json", about, bar)
            after = _measured(tuned, made.measure, work / "after.json", about, bar)
    except KeyboardInterrupt:
        console.print("Stopped. What is finished is kept; run the same command again to go on.")
        raise typer.Exit(_STOPPED) from None
    title = f"{len(made.measure)} incidents that were not learned"
    Console(width=max(WIDTH, Console().width)).print(table([before.score, after.score], title))
    refused = refusal(before, after)
    if refused:
        console.print(f"Not kept: {refused}. The adapter is no better than {model} alone.", soft_wrap=True)
        raise typer.Exit(_NO_BETTER)
    candidate.replace(out)
    shutil.rmtree(work)
    console.print(f"{out}: set explainer.adapter to it, with explainer.model {model}", soft_wrap=True)


def site_names(path: Path) -> SiteNames:
    """Return what the site has to be learned. Raises ConfigError."""
    site = load_site(path)
    context = line_context(site)
    knowledge = site.site.explainer.knowledge
    known = load_knowledge(site.root / knowledge.expanduser()) if knowledge else ()
    return SiteNames(site_words(site, labels_in(model_folder(site)), context), known, context)


def _bar(console: Console) -> Progress:
    columns = (TextColumn("{task.description:32}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console)


def _learn(base: LocalModel, made: Corpus, candidate: Path, options: Options, bar: Progress) -> None:
    """Write the adapter to `candidate`, unless it is there already. Raises ConfigError without torch."""
    done = candidate.with_suffix(".json")
    if candidate.exists() and done.exists() and done.read_text("utf-8") == options.about:
        return
    try:
        # The package needs torch, which a cell without this command never has.
        from inspector.explain.tune.fit import FitOptions, fit  # noqa: PLC0415
    except ImportError as error:
        raise ConfigError(_NEEDS) from error
    found = _tokens(base, examples(made.learn), bar)
    task = bar.add_task("Learning", total=None)

    def told(step: int, steps: int, loss: float) -> None:
        bar.update(task, completed=step, total=steps, description=f"Learning, loss {loss:.3f}")

    lora = fit(
        base.path,
        found,
        options=FitOptions(
            rank=options.rank,
            alpha=2.0 * options.rank,
            passes=options.passes,
            rate=options.rate,
            threads=options.threads,
            seed=options.seed,
        ),
        checkpoint=candidate.with_name("checkpoint.pt"),
        about=options.about,
        told=told,
    )
    write_lora(candidate, lora, base.path, base.sha256, title="explanations of an inspection line")
    done.write_text(options.about, "utf-8")


def _tokens(base: LocalModel, found: list[Example], bar: Progress) -> "list[Tokens]":
    # Its library is 100 MB that no other command of the same program needs.
    from inspector.explain.tune.tokens import Tokenizer  # noqa: PLC0415

    task = bar.add_task("Reading incidents", total=len(found))
    made: list[Tokens] = []
    with Tokenizer(base.path) as tokenizer:
        for each in found:
            made.append(tokenizer.tokens(each))
            bar.update(task, advance=1)
    return made


def _measured(
    config: ExplainerConfig, asked: Sequence[Case], kept: Path, about: str, bar: Progress
) -> Measured:
    """Return how good the model is on `asked`; what `kept` holds of the same tuning is not measured again."""
    if (found := load_measured(kept, about)) is not None:
        return found
    task = bar.add_task("Measuring, tuned" if config.adapter else "Measuring, as it was", total=len(asked))
    outcomes: list[Outcome] = []

    def told(_case: Case, _text: str, found: Outcome) -> None:
        outcomes.append(found)
        bar.update(task, advance=1)

    measured = Measured(evaluate(config, asked, SystemClock(), told), tuple(outcomes))
    save_measured(kept, about, measured)
    return measured
