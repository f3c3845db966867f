"""Pure: frames' results and sensor events to the evidence of a part, and evidence to one probability."""
