"""INT8, and the gate that every export passes."""
