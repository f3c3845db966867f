"""exp and log that are right, and whose last bit does not depend on the machine."""

import hashlib
import math
import random
import struct

from hypothesis import given
from hypothesis import strategies as st

from inspector.fusion.portable import exp, log, log2

EXACT = 4e-16  # relative: about two units in the last place


@given(st.floats(-700.0, 700.0))
def test_exp_is_right(x: float) -> None:
    assert math.isclose(exp(x), math.exp(x), rel_tol=EXACT)


@given(st.floats(1e-300, 1e300))
def test_log_is_right(x: float) -> None:
    assert math.isclose(log(x), math.log(x), rel_tol=EXACT, abs_tol=1e-300)
    assert math.isclose(log2(x), math.log2(x), rel_tol=2 * EXACT, abs_tol=1e-300)


def test_the_last_bit_is_the_same_on_every_machine() -> None:
    rng = random.Random(1)
    told = hashlib.sha256()
    for _ in range(20_000):
        x = rng.uniform(-50.0, 50.0)
        told.update(struct.pack("<3d", exp(x), log(abs(x) + 1e-4), log2(abs(x) + 1e-4)))
    assert told.hexdigest()[:16] == "546b65502f44d0cd"
