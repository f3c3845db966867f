"""exp and log from IEEE 754's +, -, x and / alone, so that every processor gives the same last bit.

The C library's differ in it between processors (with and without fused multiply-add), versions and
makes, and a verdict must come out of its replay bit for bit on another machine too. Within 1e-15 of the
true value, relative. Argument reduction after W. J. Cody and W. Waite, Software Manual for the Elementary
Functions (1980). Pure.
"""

import math  # frexp and ldexp only, which are exact

_LN2_HI = 0.6931471803691238  # its last 21 bits are 0: k times it is exact for every exponent k
_LN2_LO = 1.9082149292705877e-10
_SQRT_HALF = 0.7071067811865476
_EXP = tuple(1.0 / math.factorial(n) for n in range(14, -1, -1))
_LOG = tuple(1.0 / n for n in range(25, 0, -2))


def exp(x: float) -> float:
    """e to the x, for |x| up to 700."""
    doublings = round(x / (_LN2_HI + _LN2_LO))
    rest = (x - doublings * _LN2_HI) - doublings * _LN2_LO
    value = 0.0
    for factor in _EXP:
        value = value * rest + factor
    return math.ldexp(value, doublings)


def log(x: float) -> float:
    """The natural logarithm of x > 0."""
    share, doublings = math.frexp(x)
    if share < _SQRT_HALF:
        share, doublings = 2.0 * share, doublings - 1
    slope = (share - 1.0) / (share + 1.0)
    square = slope * slope
    value = 0.0
    for factor in _LOG:
        value = value * square + factor
    return doublings * _LN2_HI + (2.0 * slope * value + doublings * _LN2_LO)


def log2(x: float) -> float:
    """The logarithm of x > 0 to the base of 2."""
    return log(x) / (_LN2_HI + _LN2_LO)
