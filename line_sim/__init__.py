"""A simulated production line: parts, a GigE Vision camera, sensors and a PLC."""
