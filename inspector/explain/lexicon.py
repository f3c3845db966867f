"""Words that an explanation may use only if the facts do. Data for `check`.

A small language model that leaves the facts does so in few ways: it judges how far a limit was
passed, turns a comparison round, or names a part of a machine that nobody measured.
"""


def words(listed: str) -> frozenset[str]:
    """Return the words of a list written with spaces between them."""
    return frozenset(listed.split())


HEDGES = words(
    """
    slightly barely marginally just nearly almost roughly approximately about around far well
    significantly greatly severely extremely dangerously critically substantially considerably
    likely probably possibly perhaps presumably certainly definitely obviously clearly
    """
)
"""Judgements of degree and of certainty. Facts carry numbers instead."""

ABOVE = words("above over exceeds exceeded exceeding higher greater more")
BELOW = words("below under beneath less fewer")
"""Words of comparison; the number that follows is what is compared with."""

PLACES: tuple[tuple[frozenset[str], frozenset[str]], ...] = (
    (words("left"), words("right")),
    (words("upper top"), words("lower bottom")),
)
"""Pairs of places: one may not be said when the facts say only the other."""

TECHNICAL = words(
    """
    scratch scratches dent dents crack cracks burr burrs chip chips stain stains hole holes
    corrosion rust pit pits pitting porosity void voids bubble bubbles blister discoloration
    contamination contaminated dirt dust debris oil grease scuff gouge tear cut fracture break
    broken bent deformation deformed warp warped weld solder flash sink burn burned burnt
    vibration temperature pressure torque force humidity current voltage flow speed acceleration
    noise sound acoustic light illumination load weight power
    bearing bearings spindle motor belt conveyor gripper robot tool tooling blade die mold mould
    nozzle pump valve fan filter coolant lubricant lubrication lens screw bolt gear shaft fixture
    clamp feeder cutter press furnace oven heater cooler
    wear worn misaligned misalignment loose looseness overheating overheated overload leak leaking
    clogged blocked jammed jam shock impact collision imbalance unbalanced operator maintenance
    calibration uncalibrated software network cable wiring battery
    """
)
"""Defects, measured quantities, machine parts and faults: names of things that may not be invented."""
