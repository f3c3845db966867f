#!/bin/sh
# Makes models/demo_part: 500 parts of 100 line seeds, the good ones to learn from, the defective
# ones to set the limit. About 4 minutes. Run from the root of the repository.
set -eu
images=build/demo_part
rm -rf "$images"
mkdir -p "$images/good" "$images/defect"
seed=1001
while [ "$seed" -le 1100 ]; do
    line-sim render --out "$images/$seed" --parts 5 --seed "$seed" --defect-rate 0.15 2>/dev/null
    for kind in good defect; do
        if [ -d "$images/$seed/$kind" ]; then mv "$images/$seed/$kind" "$images/$kind/$seed"; fi
    done
    seed=$((seed + 1))
done
python -m inspector.detect teach --good "$images/good" --defect "$images/defect" --name demo_part
