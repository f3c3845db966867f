"""Are the things there that the explainer of a site names? One line each, for `inspector check`."""

import http.client
import json
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path

from inspector.config import ExplainerConfig, LlmServerConfig
from inspector.errors import ConfigError, ModelError
from inspector.explain.adapter import resolve_adapter
from inspector.explain.knowledge_load import load_knowledge
from inspector.explain.opinion_file import OPINION_FILE, load_fit
from inspector.explain.server import server_sha256
from inspector.explain.server_target import target
from inspector.explain.start import TEMPLATE_ONLY, has_model
from inspector.explain.weights import resolve

_SERVER_S = 2.0
_MAX_BYTES = 1 << 20
_TEMPLATE = "until then explanations come from the template"
Line = tuple[bool, str]
"""Whether it is well, and what there is to say."""


def check_explainer(config: ExplainerConfig, root: Path) -> Iterator[Line]:
    """Look at the model or its server, at the knowledge and at the opinions' calibration. Never raises.

    Nothing here keeps a cell from starting. Waits 2 s for a server at the longest.
    """
    model_sha256 = ""
    if config.server is not None:
        model_sha256 = server_sha256(config.server)
        yield _server(config.server)
    elif config.model == TEMPLATE_ONLY:
        yield True, "explainer: no language model, explanations come from the template"
    elif (folder := Path(config.model).expanduser()).is_dir():
        whole = (folder / "config.json").is_file() and any(folder.glob("*.safetensors"))
        said = str(folder) if whole else f"{folder} has no config.json and *.safetensors; {_TEMPLATE}"
        yield whole, f"explainer: {said}"
    else:
        try:
            model = resolve(config.model)
            model_sha256 = model.sha256
            yield True, f"explainer: {model.path}"
            if config.adapter is not None:
                adapter = resolve_adapter(root / config.adapter.expanduser(), model, config.model)
                model_sha256 = adapter.model_sha256
                yield True, f"explainer.adapter: {adapter.path}"
        except (ModelError, ConfigError) as error:
            yield False, f"explainer: {error}; {_TEMPLATE}"
    if config.knowledge is not None:
        yield _knowledge(root / config.knowledge.expanduser())
    if config.opinions:
        yield _opinions(config, root, model_sha256)


def _knowledge(path: Path) -> Line:
    try:
        known = load_knowledge(path)
    except ConfigError as error:
        return False, f"explainer.knowledge: {error}; until then causes come from the limits alone"
    confirmed = sum(row.confirmed for row in known)
    return True, f"explainer.knowledge: {path}, {len(known)} causes, {confirmed} of them confirmed incidents"


def _opinions(config: ExplainerConfig, root: Path, model_sha256: str) -> Line:
    if not has_model(config):
        return False, "explainer.opinions: there is no language model to ask; name a model or a server"
    try:
        fit = load_fit(root)
    except ConfigError as error:
        return False, f"explainer.opinions: {error}"
    wrong = "there is none" if fit is None else ""
    if fit is not None and model_sha256 and fit.model_sha256 != model_sha256:
        wrong = "it is of another model"
    elif fit is not None and fit.language != config.language:
        wrong = f"it is for language: {fit.language}"
    if fit is None or wrong:
        return False, (
            f"explainer.opinions: {root / OPINION_FILE}: {wrong}; run `inspector calibrate opinion`, until "
            "then no second opinions are given"
        )
    if fit.weight <= 0.0:
        return False, (
            f"explainer.opinions: they earned no weight on {fit.parts} parts, none will be given; "
            "set opinions: false, or calibrate with another model"
        )
    return True, f"explainer.opinions: weight {fit.weight:.2f}, calibrated on {fit.parts} parts"


def _server(config: LlmServerConfig) -> Line:
    """Ask the server which models it has (GET /models), which costs it nothing."""
    try:
        where = target(config)
    except ConfigError as error:
        return False, f"{error}; {_TEMPLATE}"
    named = f"explainer.server: {config.url}"
    connection = where.connection(_SERVER_S)
    try:
        connection.request(
            "GET", where.path.removesuffix("/chat/completions") + "/models", headers=dict(where.headers)
        )
        response = connection.getresponse()
        status, raw = response.status, response.read(_MAX_BYTES)
    except (OSError, http.client.HTTPException) as error:
        return False, f"{named} does not answer ({error or type(error).__name__}); {_TEMPLATE}"
    finally:
        connection.close()
    if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        return False, f"{named} refuses the key; {_TEMPLATE}"
    if status != HTTPStatus.OK:
        return True, f"{named} answers; it does not list its models ({status})"
    models = _listed(raw)
    if models and config.model not in models:
        return False, f"{named} has no model {config.model}; it has {', '.join(models[:5])}"
    return True, f"{named}, model {config.model}"


def _listed(raw: bytes) -> list[str]:
    """Return the names of the models; none where the answer is of another shape."""
    try:
        return [str(each["id"]) for each in json.loads(raw)["data"]]
    except (ValueError, LookupError, TypeError, RecursionError):
        return []
