"""The words that an explanation may use besides those of its facts. Data for `check`.

A small language model that leaves the facts does so with a word that they do not have: it judges
("slightly", "dangerous"), names a part of the machine that nobody measured ("bearing"), or tells
what somebody did ("pressed"). A closed vocabulary, which its grammar enforces, leaves no room.
"""


def words(listed: str) -> frozenset[str]:
    """Return the words of a list written with spaces between them."""
    return frozenset(listed.split())


VOCABULARY = words(
    """
    a an and as at because but by during due for from in into it its near of on or since so that
    the their there these this to until when where which while with both each other
    also only same was were is are be been being had has have did does
    action area axis beyond camera cameras confidence data deadline decision defect defects evidence
    failsafe fault image images limit limits line needed part parts place position probability
    reading readings reset review score sensor sensors service signal size surface time trigger
    value values
    abnormal normal required usable outside within
    arrived came detected differs found gave located measured measures measuring observed
    received recorded reported sees seen shown showed shows
    held passed rejected stopped
    above over exceeds exceeded exceeding below under
    left right upper lower middle centre top bottom
    one two three first second
    """
)
"""Function words, and what inspection is about in general."""

NEGATIONS = words("no not nor neither never none nothing without cannot")
"""Allowed only where the facts have them, each before the word that it stands before there: "no
data" and "not above" are facts, "not detected" turns one round."""

STARTS = ("The", "It", "There", "Both", "Camera", "Sensor")
"""How a second sentence may begin."""

ABOVE = words("above over exceeds exceeded exceeding beyond")
BELOW = words("below under")
"""Words of comparison; the number that follows is what is compared with."""

FINDS = words("found finds saw sees detected detects located locates showed shows")
"""What a camera does and a sensor does not."""

PLACES: tuple[tuple[frozenset[str], frozenset[str]], ...] = (
    (words("left"), words("right")),
    (words("upper top"), words("lower bottom")),
)
"""Pairs of places: one may not be said when the facts say only the other."""
