"""Energy a frame, and the lowest power mode that still holds the deadline."""
