"""Randomised fault runs of the real cell: planned by a seed, judged, and shrunk when one fails."""
