"""Pure: evidence and time to a verdict. Nothing here reads a clock, a file, a socket or a random number."""
