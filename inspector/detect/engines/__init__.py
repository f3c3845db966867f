"""Running a model: the slot pipeline of every engine, and the CPU engine."""
