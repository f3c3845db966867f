"""Models of other makes, and two models in one pass."""
