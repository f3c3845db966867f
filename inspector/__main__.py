"""Where the `inspector` command starts. Loading its parts takes a second, in which Ctrl-C is no error."""

import sys
from typing import Final

_STOPPED: Final = 130  # 128 + SIGINT, as shells have it


def main() -> None:
    try:
        from inspector.cli import main as command  # noqa: PLC0415  # what takes the second
    except KeyboardInterrupt:
        sys.exit(_STOPPED)
    command()


if __name__ == "__main__":
    main()
