"""`python -m inspector.detect`: the detector's commands on their own."""

import sys

import typer

from inspector.detect.commands import TEACH_EPILOG, teach
from inspector.errors import InspectorError


def main() -> None:
    app = typer.Typer(add_completion=False)
    app.callback()(lambda: None)
    app.command(epilog=TEACH_EPILOG)(teach)
    try:
        app()
    except InspectorError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
