"""The `inspector` command. Each package brings its own commands; this file only names them."""

import sys

import typer

from inspector import __version__
from inspector.camera.commands import app as camera_app
from inspector.detect.bench.commands import app as bench_app
from inspector.detect.cuda.commands import app as engine_app
from inspector.detect.evaluating.evaluate_command import EVALUATE_EPILOG, evaluate
from inspector.detect.importing.bring_command import IMPORT_EPILOG, import_model
from inspector.detect.importing.merge_command import MERGE_EPILOG, merge
from inspector.detect.quantizing.quantize_command import PARITY_EPILOG, QUANTIZE_EPILOG, parity, quantize
from inspector.detect.risk.calibrate_command import CALIBRATE_MODEL_EPILOG, calibrate_model
from inspector.detect.training.command import TRAIN_EPILOG, train
from inspector.errors import ConfigError, InspectorError
from inspector.explain.commands import app as models_app
from inspector.explain.eval_commands import app as explain_app
from inspector.sensors.commands import TEACH_CURVE_EPILOG, teach_curve
from inspector.services.calibrate import CALIBRATE_FUSION_EPILOG, calibrate_fusion
from inspector.services.calibrate_opinion import CALIBRATE_OPINION_EPILOG, calibrate_opinion
from inspector.services.camera_record import camera_record
from inspector.services.commands import check, demo, record, run
from inspector.services.replay_commands import COMPARE_EPILOG, REPLAY_EPILOG, compare, replay
from inspector.services.teach_command import TEACH_EPILOG, teach
from inspector.store.commands import sessions
from inspector.store.session_commands import app as session_app

app = typer.Typer(
    name="inspector",
    help="A visual inspection cell: GigE Vision frames in, verdicts with explanations over MQTT out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(demo)
app.command()(run)
app.command()(record)
app.command()(check)
app.command(epilog=TEACH_EPILOG)(teach)
app.command(epilog=EVALUATE_EPILOG)(evaluate)
app.command("import", epilog=IMPORT_EPILOG)(import_model)
app.command(epilog=TRAIN_EPILOG)(train)
app.command(epilog=MERGE_EPILOG)(merge)
app.command(epilog=QUANTIZE_EPILOG)(quantize)
app.command(epilog=PARITY_EPILOG)(parity)
app.command(epilog=TEACH_CURVE_EPILOG)(teach_curve)
app.command(epilog=REPLAY_EPILOG)(replay)
app.command(epilog=COMPARE_EPILOG)(compare)
app.command()(sessions)
# Here and not in the camera package, which does not know the store.
camera_app.command("record", epilog="Example: inspector camera record camera_configs/demo.yaml -n 100")(
    camera_record
)
calibrate_app = typer.Typer(no_args_is_help=True, help="Set a risk, and what each modality counts.")
calibrate_app.command("model", epilog=CALIBRATE_MODEL_EPILOG)(calibrate_model)
calibrate_app.command("fusion", epilog=CALIBRATE_FUSION_EPILOG)(calibrate_fusion)
calibrate_app.command("opinion", epilog=CALIBRATE_OPINION_EPILOG)(calibrate_opinion)
app.add_typer(calibrate_app, name="calibrate")
app.add_typer(camera_app, name="camera")
app.add_typer(session_app, name="session")
app.add_typer(models_app, name="models")
app.add_typer(explain_app, name="explain")
app.add_typer(engine_app, name="engine")
app.add_typer(bench_app, name="bench")


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(__version__)


def main() -> None:
    """Run the command; a user's mistake is one line on standard error and exit status 2."""
    try:
        app()
    except ConfigError as error:
        _fail(error, 2)
    except InspectorError as error:
        _fail(error, 1)
    except KeyboardInterrupt:
        sys.exit(130)


def _fail(error: InspectorError, status: int) -> None:
    line = " ".join(str(error).splitlines())  # file names may have line ends, and so may vendors' words
    print(f"error: {line}", file=sys.stderr)
    sys.exit(status)


if __name__ == "__main__":
    main()
