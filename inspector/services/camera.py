"""The camera service: one camera's frames into shared memory."""

_FETCH_MS = 100  # short, so that a heartbeat goes out and a stop is heeded in between
