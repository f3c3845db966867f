"""Supervised detection: boxes and classes from labelled images. Only `fit` needs torch."""
