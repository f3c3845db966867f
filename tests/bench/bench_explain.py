"""Time to a complete explanation against a plain chat call: same model, prompt, limit and threads.

    python tests/bench/bench_explain.py qwen2.5-coder-1.5b --count 5

plain: llama.cpp's chat completions, free text of at most as many tokens, nothing kept between calls.
plain, kept: the same with its prompt cache, which finds the constant part of the last call again.
ours: the constant prompt kept, the answer forced into its schema and ended with it. They take turns,
so that what else the machine does bends all. How good explanations are: `inspector explain eval`.
"""

import argparse
import statistics
import time
from pathlib import Path

import xllamacpp

from inspector.clock import NS_PER_S, SystemClock
from inspector.config import ExplainerConfig
from inspector.errors import ConfigError, ModelError
from inspector.explain.causes import rank_causes
from inspector.explain.eval_cases import cases
from inspector.explain.gather import gather
from inspector.explain.grammar import schema_for
from inspector.explain.prompt import Prompt, build
from inspector.explain.start import open_engine
from inspector.explain.weights import resolve

DEADLINE_S = 600
MAX_TOKENS = 160


class Plain:
    """llama.cpp as its own chat server has it by default, without what is ours."""

    def __init__(self, weights: Path, threads: int) -> None:
        params = xllamacpp.CommonParams()
        params.model.path = str(weights)
        params.n_ctx = 2048
        params.n_parallel = 1
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
        params.warmup = False
        params.fit_params = False
        params.verbosity = -1
        params.hostnames = ["127.0.0.1"]
        params.port = 0
        self._server = xllamacpp.Server(params)

    def complete(self, prompt: Prompt, *, kept: bool) -> float:
        """Return the seconds of one call; `kept` uses what the last call left in the cache."""
        body = {
            "messages": [{"role": turn.role, "content": turn.content} for turn in prompt],
            "max_tokens": MAX_TOKENS,
            "temperature": 0,
            "cache_prompt": kept,
            "stream": True,
        }
        began = time.perf_counter()
        self._server.handle_chat_completions(body, lambda _chunk: False)
        return time.perf_counter() - began


def run(model: str, threads: int, count: int) -> dict[str, list[float]]:
    """Return the seconds of the calls of each kind."""
    clock = SystemClock()
    config = ExplainerConfig(model=model, threads=threads, nice=0, max_tokens=MAX_TOKENS)
    engine = open_engine(config, clock)
    other = Plain(resolve(model).path, threads)
    took: dict[str, list[float]] = {"ours": [], "plain, kept": [], "plain": []}
    try:
        for number, case in enumerate(cases(99, count + 1)):
            facts = gather(case.record, case.context)
            causes = rank_causes(facts)
            prompt, schema = build(facts, causes), schema_for(facts, causes)
            began = time.perf_counter()
            engine.complete(prompt, schema, clock.now_ns() + DEADLINE_S * NS_PER_S)
            seconds = time.perf_counter() - began
            kept = other.complete(prompt, kept=True)  # before the other, which leaves this very prompt
            plain = other.complete(prompt, kept=False)
            if number:  # the first call reads the constant prompt, as a cell does when it starts
                for name, one in zip(took, (seconds, kept, plain), strict=True):
                    took[name].append(one)
    finally:
        engine.close()
    return took


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", nargs="?", default="qwen2.5-coder-1.5b")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--count", type=int, default=5)
    chosen = parser.parse_args()
    try:
        took = run(chosen.model, chosen.threads, chosen.count)
    except (ConfigError, ModelError) as error:
        raise SystemExit(f"error: {error}") from error
    print(f"{chosen.model}, {chosen.threads} thread(s), {chosen.count} incidents, turn about")
    for name, seconds in took.items():
        ratios = [mine / theirs for mine, theirs in zip(took["ours"], seconds, strict=True)]
        spread = f"{min(seconds):.2f} to {max(seconds):.2f}"
        print(
            f"{name:12} median {statistics.median(seconds):6.2f} s, {spread}; "
            f"ours to it {statistics.median(ratios):.2f}, {min(ratios):.2f} to {max(ratios):.2f}"
        )


if __name__ == "__main__":
    main()
