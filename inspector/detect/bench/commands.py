"""`inspector bench`: how fast an engine is, here."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Final, Literal, cast

import numpy as np
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from inspector.clock import NS_PER_S, SystemClock
from inspector.config import DetectorConfig
from inspector.detect.bench.measure import Figures, MeasuredEngine, drive, figures
from inspector.detect.bench.trace import perfetto_trace
from inspector.detect.images import list_images, read_image
from inspector.detect.load import load_detector
from inspector.detect.model.manifest import InputLayout
from inspector.errors import ModelError
from inspector.types import Frame, FrameMeta

app = typer.Typer(help="Measure engines on this machine.", no_args_is_help=True)

ENGINE_EPILOG: Final = """Examples:

inspector bench engine demo_part --threads 2

inspector bench engine demo_part --engine tensorrt --precision fp16 --slots 3
"""
PIPELINE_EPILOG: Final = """Examples:

inspector bench pipeline demo_part --fps 30 --frames 300

inspector bench pipeline demo_part --threads 2 --json

inspector bench pipeline demo_part --trace trace.json    (open it in https://ui.perfetto.dev)
"""

Model = Annotated[str, typer.Argument(help="Name of a model under --models, or its folder.")]
Models = Annotated[Path, typer.Option(help="Folder of all models.")]
EngineName = Annotated[Literal["openvino", "tensorrt"], typer.Option("--engine", help="CPU or GPU.")]
PrecisionName = Annotated[Literal["fp32", "fp16", "int8"], typer.Option(help="For tensorrt.")]
Threads = Annotated[int, typer.Option(min=1, help="CPU threads, for openvino.")]
Slots = Annotated[int, typer.Option(min=1, max=16, help="Frames in flight.")]
Frames = Annotated[int, typer.Option(min=10, help="Frames of each measurement.")]


class _Bench:
    """A warm engine with frames for it."""

    def __init__(self, config: DetectorConfig, models: Path, images: Path | None) -> None:
        self.woken = threading.Event()
        self.clock = SystemClock()
        self.engine = cast(
            "MeasuredEngine", load_detector(config, models, on_ready=self.woken.set, timed=True)
        )
        self._pictures = _pictures(self.engine.manifest.input, images)

    def frames(self, count: int) -> list[Frame]:
        layout = self.engine.manifest.input
        return [
            Frame(
                FrameMeta(
                    camera_id="bench", frame_id=index, exposure_start_ns=0, exposure_us=1.0, received_ns=0,
                    width_px=layout.width_px, height_px=layout.height_px, pixel_format=layout.pixel_format,
                ),
                self._pictures[index % len(self._pictures)],
            )
            for index in range(count)
        ]  # fmt: skip


@app.command(epilog=ENGINE_EPILOG)
def engine(
    model: Model,
    *,
    models: Models = Path("models"),
    engine_name: EngineName = "openvino",
    precision: PrecisionName = "fp32",
    threads: Threads = 1,
    frames: Frames = 100,
) -> None:
    """The network alone: no preparation, copies or decoding."""
    config = DetectorConfig(
        model=model, engine=engine_name, precision=precision, threads=threads, requests_in_flight=1
    )
    bench = _Bench(config, models, None)
    try:
        bench.engine.time_alone(10)
        ms = np.array(bench.engine.time_alone(frames)) / 1e6
    finally:
        bench.engine.close()
    p50, p99 = np.percentile(ms, [50, 99])
    typer.echo(
        f"{model} on {engine_name}: {1e3 / ms.mean():.1f} frames/s, P50 {p50:.2f} ms, P99 {p99:.2f} ms"
    )


@app.command(epilog=PIPELINE_EPILOG)
def pipeline(
    model: Model,
    *,
    models: Models = Path("models"),
    engine_name: EngineName = "openvino",
    precision: PrecisionName = "fp32",
    threads: Threads = 1,
    slots: Slots = 3,
    fps: Annotated[float, typer.Option(min=0.1, help="A camera's rate, with idle gaps between frames.")] = 30,
    frames: Frames = 200,
    images: Annotated[Path | None, typer.Option(help="Images to take; noise without.")] = None,
    trace: Annotated[Path | None, typer.Option(help="Write a trace for Perfetto here.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The figures as JSON, in the last line.")] = False,
) -> None:
    """The engine in its slots: rate, overlap, copies hidden, and latency at a camera's rate."""
    config = DetectorConfig(
        model=model, engine=engine_name, precision=precision, threads=threads, requests_in_flight=slots
    )
    bench = _Bench(config, models, images)
    given = bench.frames(frames)
    try:
        bench.engine.time_alone(10)
        alone = bench.engine.time_alone(frames)
        one_by_one = []
        with _progress("One at a time", frames) as show:
            for done, frame in enumerate(given, start=1):
                one_by_one += drive(bench.engine, bench.woken, [frame], bench.clock)
                show(done)
        bench.engine.take_stages()
        with _progress("As fast as it goes", frames) as show:
            full = drive(bench.engine, bench.woken, given, bench.clock, progress=show)
        stages = bench.engine.take_stages()
        start_ns, gap_ns = bench.clock.now_ns(), int(NS_PER_S / fps)
        with _progress(f"At {fps:g} frames/s", frames) as show:
            paced = drive(
                bench.engine, bench.woken, given, bench.clock,
                due_ns=lambda number: start_ns + number * gap_ns, progress=show,
            )  # fmt: skip
        paced_stages = bench.engine.take_stages()
    finally:
        bench.engine.close()
    title, found = f"{model} on {engine_name}", figures(alone, full, one_by_one, paced, fps, stages=stages)
    typer.echo(_table(title, found, slots))
    if trace is not None:
        try:
            trace.write_text(perfetto_trace([*full, *paced], slots, title, [*stages, *paced_stages]))
        except OSError as error:
            raise ModelError(f"{trace}: cannot be written ({error.strerror})") from error
        typer.echo(f"trace: {trace} (open it in https://ui.perfetto.dev)")
    if as_json:
        ratios = {"of_alone": found.of_alone, "overhead_ms": found.overhead_ms}
        typer.echo(
            json.dumps({"model": model, "engine": engine_name, "slots": slots, **asdict(found), **ratios})
        )


def _table(title: str, found: Figures, slots: int) -> str:
    return "\n".join(
        (
            title,
            f"  network alone      {found.alone_fps:8.1f} frames/s   P50 {found.alone_p50_ms:.2f} ms",
            f"  {slots} slots, full      {found.full_fps:8.1f} frames/s   {found.of_alone:.2f} of alone, "
            f"{found.overlap:.1f} inside at a time",
            *_copies(found),
            f"  one at a time                           P50 {found.one_p50_ms:.2f} ms, "
            f"{found.overhead_ms:.2f} ms beyond the network",
            f"  with idle gaps     {found.paced_fps:8.1f} frames/s   P50 {found.paced_p50_ms:.2f} ms, "
            f"P99 {found.paced_p99_ms:.2f} ms",
        )
    )


def _copies(found: Figures) -> list[str]:
    if found.copies_hidden is None:
        return []
    return [
        f"  copies hidden      {found.copies_hidden:8.1%} of copy time runs behind other slots' kernels",
    ]


def _pictures(
    layout: InputLayout, images: Path | None
) -> list[np.ndarray[tuple[int, ...], np.dtype[np.uint8]]]:
    shape = (layout.height_px, layout.width_px, layout.channels)[: 3 if layout.channels == 3 else 2]
    if images is not None:
        found = [read_image(path, layout).reshape(shape) for path in list_images(images)[:50]]
    else:
        found = [np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8) for seed in range(4)]
    for picture in found:
        picture.flags.writeable = False
    return found


@contextmanager
def _progress(what: str, total: int) -> Iterator[Callable[[int], None]]:
    columns = (TextColumn("{task.description:22}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True, refresh_per_second=4) as bar:
        task = bar.add_task(what, total=total)
        yield lambda done: bar.update(task, completed=done)
