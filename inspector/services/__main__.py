"""One service as a process of its own: `python -m inspector.services NAME --domain D --site FILE`.

Which recipe it is for says the supervisor, and what else differs from the site file: all services of a cell
are to have the same.
"""

import argparse
import gc
import sys
from pathlib import Path


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m inspector.services")
    parser.add_argument("name", help="a name from the service table")
    parser.add_argument("--domain", required=True, help="shared-memory domain of the cell")
    parser.add_argument("--site", required=True, type=Path, help="site file")
    parser.add_argument("--recipe", default="", help="one of the site's recipes; else the site as it stands")
    parser.add_argument(
        "--all-frames", action="store_true", help="record every frame, whatever the site says"
    )
    arguments = parser.parse_args()
    # What imports make stays: looking for garbage among it takes a seventh of the start.
    gc.disable()
    from msgspec.structs import replace  # noqa: PLC0415  see above

    from inspector.config_load import load_site  # noqa: PLC0415  see above
    from inspector.recipe import apply_recipe  # noqa: PLC0415  see above
    from inspector.services.loop import Loop  # noqa: PLC0415  see above
    from inspector.services.table import services  # noqa: PLC0415  see above

    site = apply_recipe(load_site(arguments.site), arguments.recipe)
    if arguments.all_frames:
        recorder = replace(site.site.recorder, frames="all")
        site = replace(site, site=replace(site.site, recorder=recorder))
    table = services(site)
    index = [spec.name for spec in table].index(arguments.name)
    make = table[index].factory()
    gc.freeze()
    gc.enable()
    return Loop(arguments.name, arguments.domain, site, index).run(make)


if __name__ == "__main__":
    sys.exit(main())
