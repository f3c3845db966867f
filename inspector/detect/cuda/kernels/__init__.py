"""CUDA sources, read as text."""
