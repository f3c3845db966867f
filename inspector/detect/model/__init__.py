"""What a model folder holds: its manifest, where frames lie in its input, what its outputs mean."""
