"""A detector that is started again is to be ready at once: it imports what it needs, and nothing else.

And nothing reports to its maker: OpenVINO's conversion tools would, at each import.
"""

import os
import subprocess
import sys
from pathlib import Path

from inspector.services.supervisor import QUICK_START

ROOT = Path(__file__).parents[2]
NOT_NEEDED = {
    "asyncio", "genicam", "harvesters", "http.server", "mcap", "onnx", "openvino.opset1",
    "openvino.tools.ovc", "openvino_telemetry", "paho", "prometheus_client", "psutil", "pydantic", "rich",
    "scipy", "sqlite3", "structlog", "tensorrt", "torch", "typer", "xllamacpp",
    "inspector.detect.cuda.tensorrt_engine", "inspector.detect.teaching",
}  # fmt: skip
FIRST_RESULT = """
import sys, time
from pathlib import Path
import numpy as np
from inspector.config_load import load_site, model_folder
from inspector.services.loop import Loop
from inspector.services.table import services
import inspector.services.detector
from inspector.detect.load import load_detector
from inspector.types import Frame, FrameMeta

root = Path(sys.argv[1])
site = load_site(root / "deploy" / "demo" / "site.yaml")
engine = load_detector(site.site.detector, model_folder(site).parent)
layout = engine.manifest.input
meta = FrameMeta(camera_id="c", frame_id=0, exposure_start_ns=0, exposure_us=0.0, received_ns=0,
                 width_px=layout.width_px, height_px=layout.height_px, pixel_format="Mono8")
engine.submit(Frame(meta, np.zeros((layout.height_px, layout.width_px), dtype=np.uint8)))
while not (found := engine.collect()):
    time.sleep(0.001)
assert found[0][1].p_defect is not None, found
engine.close()
print(*sys.modules, sep="\\n")
"""


def test_a_first_result_needs_no_more_than_it_imports() -> None:
    done = subprocess.run(
        [sys.executable, "-c", FIRST_RESULT, str(ROOT)],
        env={**QUICK_START, **os.environ},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    assert NOT_NEEDED & set(done.stdout.split()) == set()
