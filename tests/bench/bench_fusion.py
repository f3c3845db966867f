"""Fixed weights against fitted ones, in degraded conditions, on parts that neither has seen.

Run: python tests/bench/bench_fusion.py [--parts 100] [--seeds 4]
Each seed's parts are judged by weights that the other seeds taught. `--parts` of each condition and
seed. About 50 ms a part.
"""

import argparse
import random
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from degraded_parts import CONDITIONS, Labelled, labelled
from rich.progress import track

from inspector.config import DecisionConfig
from inspector.decide.rules import base_weights
from inspector.fusion.context import fixed, fuse
from inspector.fusion.fit import Example, fit, in_order
from inspector.fusion.score import Score, calibration_error, score

POLICY = DecisionConfig()
BLOCK = 25  # parts in a row under one condition, as the light of a day or a lens that is knocked


def line(seed: int, parts: int) -> tuple[list[Labelled], list[Example]]:
    """One seed's parts, its conditions taking turns."""
    made = track(labelled(seed, parts), f"seed {seed}", total=parts * len(CONDITIONS), transient=True)
    blocks = list(_blocks(list(made), parts))
    random.Random(seed).shuffle(blocks)
    ordered = [one for block in blocks for one in block]
    return ordered, in_order((one.evidence, one.defective) for one in ordered)


def _blocks(made: list[Labelled], parts: int) -> Iterator[list[Labelled]]:
    for start in range(0, len(made), parts):
        for first in range(start, start + parts, BLOCK):
            yield made[first : min(first + BLOCK, start + parts)]


def row(name: str, before: Score, after: Score) -> str:
    cells = [f"{name} | {before.parts}", f"{before.accuracy:.1%} | {after.accuracy:.1%}"]
    cells += [f"{before.ece:.3f} | {after.ece:.3f}", f"{before.decided:.0%} | {after.decided:.0%}"]
    return f"| {' | '.join(cells)} |"


def cost_us(call: Callable[[Example], object], examples: list[Example]) -> float:
    """Of one call, in µs of processor time; the least of five runs."""
    times = []
    for _ in range(5):
        started = time.process_time()
        for example in examples:
            call(example)
        times.append((time.process_time() - started) / len(examples) * 1e6)
    return min(times)


def by_chance(p_defect: list[float]) -> float:
    """Mean calibration error of parts that are defective exactly as often as the probabilities say."""
    rng = random.Random(0)
    drawn = [calibration_error(p_defect, [rng.random() < p for p in p_defect]) for _ in range(20)]
    return sum(drawn) / len(drawn)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parts", type=int, default=100)
    parser.add_argument("--seeds", type=int, default=4)
    options = parser.parse_args()
    lines = [line(seed, options.parts) for seed in range(1, options.seeds + 1)]
    base = base_weights(POLICY)
    plain = fixed(base)
    tested: list[tuple[Labelled, Example]] = []
    before: list[float] = []
    after: list[float] = []
    for out, (made, examples) in enumerate(lines):
        found = fit([each for n, (_, some) in enumerate(lines) if n != out for each in some], base)
        if found.weights is None:
            raise SystemExit(f"the fixed weights stay: {found.why}")
        weights = found.weights
        tested += zip(made, examples, strict=True)
        before += [fuse(each.evidence, plain, each.drift).p_defect or 0.5 for each in examples]
        after += [fuse(each.evidence, weights, each.drift).p_defect or 0.5 for each in examples]
    truth = [example.defective for _, example in tested]

    def scores(keep: Callable[[str], bool]) -> tuple[Score, Score]:
        chosen = [n for n, (one, _) in enumerate(tested) if keep(one.condition)]
        picked = [truth[n] for n in chosen]
        limit = POLICY.confirm_confidence
        return (
            score([before[n] for n in chosen], picked, limit),
            score([after[n] for n in chosen], picked, limit),
        )

    print("| condition | parts | accuracy, fixed | fitted | ECE, fixed | fitted | decided, fixed | fitted |")
    print("|---|---|---|---|---|---|---|---|")
    for condition in CONDITIONS:
        print(row(condition.name, *scores(condition.name.__eq__)))
    print(row("all degraded", *scores("good".__ne__)))
    print(row("all", *scores(lambda _: True)))
    print(f"\nECE that honest probabilities would show by chance on so many parts: {by_chance(after):.3f}")
    examples = [example for _, example in tested]
    one = cost_us(lambda each: fuse(each.evidence, plain, each.drift), examples)
    other = cost_us(lambda each: fuse(each.evidence, weights, each.drift), examples)
    print(f"\na decision's fusion: {one:.1f} us with fixed weights, {other:.1f} us with fitted ones")


if __name__ == "__main__":
    main()
