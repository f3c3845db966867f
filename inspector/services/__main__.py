"""One service as a process of its own: `python -m inspector.services NAME --domain D --site FILE`."""

import argparse
import sys
from pathlib import Path

from inspector.config_load import load_site
from inspector.services.loop import Loop
from inspector.services.table import services


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m inspector.services")
    parser.add_argument("name", help="a name from the service table")
    parser.add_argument("--domain", required=True, help="shared-memory domain of the cell")
    parser.add_argument("--site", required=True, type=Path, help="site file")
    arguments = parser.parse_args()
    site = load_site(arguments.site)
    table = services(site)
    index = [spec.name for spec in table].index(arguments.name)
    return Loop(arguments.name, arguments.domain, site, index).run(table[index].factory())


if __name__ == "__main__":
    sys.exit(main())
