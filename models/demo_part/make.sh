#!/bin/sh
# Makes models/demo_part: one part of each of 500 line seeds (belt and turning marks differ from seed to
# seed), the good ones to learn from, the defective ones to set the limit. About 5 minutes on 2 cores.
# Run from the root of the repository, with its virtual environment active.
set -eu
images=build/demo_part
rm -rf "$images"
python - "$images" <<'EOF'
import shutil
import sys
from multiprocessing import Pool
from pathlib import Path

from line_sim.render_command import prepare_folder, render_parts

IMAGES = Path(sys.argv[1])


def render(seed: int) -> None:
    folder = IMAGES / str(seed)
    prepare_folder(folder)
    for _ in render_parts(folder, parts=1, seed=seed, defect_rate=0.15, size_px=(640, 480)):
        pass
    for kind in ("good", "defect"):
        for path in (folder / kind).glob("*.png"):
            target = IMAGES / kind / f"{seed}.png"
            target.parent.mkdir(parents=True, exist_ok=True)
            path.rename(target)
    shutil.rmtree(folder)


with Pool(2) as pool:
    pool.map(render, range(1001, 1501))
EOF
inspector teach --good "$images/good" --defect "$images/defect" --defect-share 0.15 --name demo_part
