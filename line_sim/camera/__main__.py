"""`python -m line_sim.camera`, the same as `line-sim camera`."""

import typer

from line_sim.camera.command import camera_command

if __name__ == "__main__":
    typer.run(camera_command)
