"""Malformed messages on every subscribed topic, through a real mosquitto, at length.

python tests/bench/fuzz_mqtt.py --runs 100000 --seed 1
"""

import argparse
import resource
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from brokers import Mosquitto
from mqtt_rubbish import TOPICS_TO_FUZZ, Fuzzed
from rich.progress import Progress


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, Progress() as progress:
        broker = Mosquitto(Path(folder) / "broker")
        broker.start()
        fuzzed = Fuzzed(broker.port, Path(folder) / "outbox")
        bar = progress.add_task("Malformed messages", total=options.runs)
        started = time.monotonic()
        try:
            fuzzed.run(options.runs, options.seed, on_progress=lambda n: progress.update(bar, completed=n))
            took_s = time.monotonic() - started
            counters = dict(fuzzed.link.counters)
            incoming = len(fuzzed.incoming)
        finally:
            fuzzed.close()
            broker.kill()
    refused = {name: n for name, n in sorted(counters.items()) if name.startswith(("refused_", "dropped_"))}
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{options.runs} messages on {len(TOPICS_TO_FUZZ)} topics in {took_s:.0f} s, {peak_mib:.0f} MiB")
    for name, n in refused.items():
        print(f"  {name:24} {n:8}")
    print(f"counted {sum(refused.values())}, let in {incoming}")
    sys.exit(incoming > 0)


if __name__ == "__main__":
    main()
