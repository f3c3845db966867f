"""Measuring an engine: alone, in its pipeline, and at a camera's rate."""
