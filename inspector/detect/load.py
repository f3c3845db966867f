"""From the site's configuration to a running engine."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from inspector.clock import Clock, SystemClock
from inspector.config import DetectorConfig
from inspector.config_load import find_model
from inspector.detect.engine import Engine
from inspector.detect.model.manifest import load_manifest


def load_detector(
    config: DetectorConfig,
    models_dir: Path,
    *,
    clock: Clock | None = None,
    on_ready: Callable[[], None] = lambda: None,
    cache_dir: Path | None = None,
    timed: bool = False,
) -> Engine:
    """Load `config.model` and return an engine that is warm.

    `on_ready` is called from the engine's thread whenever `collect` may have something.
    `cache_dir` holds compiled models, which makes later starts fast; None is the user's cache
    folder, and without one that can be written there is no cache. `timed` has a GPU engine time the
    stages of each run, for measurements. Raises ConfigError when the model is missing or its manifest
    malformed, ModelError when it is damaged or cannot be run.
    """
    folder = find_model(config.model, [models_dir, Path()])
    manifest = load_manifest(folder)
    # Each engine is imported when it is the one: a restarted detector is to be ready at once.
    if config.engine == "tensorrt":
        from inspector.detect.cuda.tensorrt_engine import TensorRtEngine  # noqa: PLC0415  # see above

        return TensorRtEngine(
            manifest,
            folder,
            precision=config.precision,
            slots=config.requests_in_flight,
            clock=clock or SystemClock(),
            on_ready=on_ready,
            cache_dir=_writable(cache_dir or _user_cache("tensorrt")),
            timed=timed,
        )
    from inspector.detect.engines.openvino_model import load_model  # noqa: PLC0415  # see above

    with ThreadPoolExecutor(1) as aside:
        model = aside.submit(
            load_model,
            manifest,
            folder / manifest.onnx.file,
            threads=config.threads,
            requests=config.requests_in_flight,
            cache_dir=_writable(cache_dir or _user_cache("openvino")),
        )
        # The rest of the engine (OpenCV) is imported meanwhile.
        from inspector.detect.engines.openvino_engine import OpenVinoEngine  # noqa: PLC0415  # see above
    return OpenVinoEngine(manifest, model.result(), clock=clock or SystemClock(), on_ready=on_ready)


def _user_cache(name: str) -> Path:
    base = os.environ.get("XDG_CACHE_HOME")
    root = Path(base) if base else Path.home() / ".cache"
    return root / "inspector" / name


def _writable(folder: Path) -> Path | None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return None
    return folder if os.access(folder, os.W_OK) else None
