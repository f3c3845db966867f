"""Teach-in: a one-class model from images of good parts."""
