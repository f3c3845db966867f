"""The language model."""

from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta

from inspector.strict_data import Strict


class LlmServerConfig(Strict, frozen=True, kw_only=True):
    """An OpenAI-compatible server: llama-server, vLLM, SGLang, Ollama, TensorRT-LLM and others.

    `url` ends before /chat/completions (http://host:8000/v1). The key is read from the environment
    variable or the file that is named here. `images`: the model takes image_url parts.
    """

    url: Annotated[str, Meta(pattern=r"^https?://[^\s/@]+(/[^\s]*)?\Z")]
    model: str = "default"
    api_key_env: str | None = None
    api_key_file: Path | None = None
    ca_file: Path | None = None
    timeout_ms: Annotated[int, Meta(ge=1)] = 800
    max_concurrent: Annotated[int, Meta(ge=1, le=64)] = 1
    images: bool = False

    def __post_init__(self) -> None:
        if self.api_key_env and self.api_key_file:
            raise ValueError("give api_key_env or api_key_file, not both")


class ExplainerConfig(Strict, frozen=True, kw_only=True):
    """`model` is a name that `inspector models list` knows, or a GGUF file; "none" leaves the template.

    `server` takes the place of `model`. `knowledge` is the site's FMEA: a CSV or Markdown file, or a
    folder of them, relative to the site file. `mmproj` lets a local model see. `opinions` asks for
    second opinions; `memory_mib` caps the process that runs the model.
    """

    model: str = "none"
    server: LlmServerConfig | None = None
    language: Literal["en", "de", "zh"] = "en"
    knowledge: Path | None = None
    threads: Annotated[int, Meta(ge=1)] = 1
    gpu_layers: Annotated[int, Meta(ge=0)] = 0
    mmproj: Path | None = None
    adapter: Path | None = None  # from `inspector explain tune`, relative to the site file
    nice: Annotated[int, Meta(ge=0, le=19)] = 10
    pause_for_frames: bool = False  # a local model stands still while a frame is in the detector
    memory_mib: Annotated[int, Meta(ge=64)] | None = None
    context_tokens: Annotated[int, Meta(ge=512)] = 2048
    max_tokens: Annotated[int, Meta(ge=32)] = 160
    deadline_s: Annotated[float, Meta(gt=0)] = 30.0
    explain: Literal["all", "not_passed"] = "not_passed"
    opinions: bool = False
