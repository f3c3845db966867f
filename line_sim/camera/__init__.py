"""A virtual GigE Vision camera: GVCP, GVSP, GenICam features, triggers, and faults on demand."""

from line_sim.camera.camera import VirtualCamera
from line_sim.camera.config import VirtualCameraConfig
from line_sim.camera.faults import FaultKnobs
from line_sim.camera.folder_source import Fit, FolderSource
from line_sim.camera.pattern_source import PatternSource
from line_sim.camera.pixel_format import PixelFormat
from line_sim.camera.session_source import SessionSource
from line_sim.camera.source import FrameRequest, FrameSource
from line_sim.camera.statistics import CameraStatistics

__all__ = [
    "CameraStatistics",
    "FaultKnobs",
    "Fit",
    "FolderSource",
    "FrameRequest",
    "FrameSource",
    "PatternSource",
    "PixelFormat",
    "SessionSource",
    "VirtualCamera",
    "VirtualCameraConfig",
]
