"""Figures of merit of a model on labelled images."""
