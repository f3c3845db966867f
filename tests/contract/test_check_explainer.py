"""`inspector check` names each file and server of the explainer that is not as it should be."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from chat_server import MODEL, ChatServer, said

from inspector.config import ExplainerConfig, LlmServerConfig
from inspector.explain.opinion import OpinionFit
from inspector.explain.opinion_file import save_fit
from inspector.explain.server import server_sha256
from inspector.explain.site_check import check_explainer


@pytest.fixture(scope="module")
def server() -> Iterator[ChatServer]:
    made = ChatServer(lambda _body: said("hello"), key="secret")
    yield made
    made.close()


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_KEY", "secret")
    monkeypatch.setenv("WRONG_KEY", "guess")


def lines(config: ExplainerConfig, root: Path) -> list[tuple[bool, str]]:
    return list(check_explainer(config, root))


def test_a_server_that_has_the_model_is_well(server: ChatServer, tmp_path: Path) -> None:
    config = ExplainerConfig(server=server.config(api_key_env="TEST_KEY"))
    assert lines(config, tmp_path) == [(True, f"explainer.server: {server.url}, model {MODEL}")]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"api_key_env": "WRONG_KEY"}, "refuses the key"),
        ({"api_key_env": "NO_SUCH_KEY"}, "NO_SUCH_KEY is not set"),
        ({"api_key_env": "TEST_KEY", "model": "other"}, f"has no model other; it has {MODEL}"),
    ],
)
def test_a_server_that_will_not_do(
    server: ChatServer, tmp_path: Path, changes: dict[str, str], told: str
) -> None:
    [(well, text)] = lines(ExplainerConfig(server=server.config(**changes)), tmp_path)
    assert not well
    assert told in text


def test_a_server_that_is_not_there(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    config = ExplainerConfig(server=LlmServerConfig(url=f"http://127.0.0.1:{port}/v1"))
    [(well, text)] = lines(config, tmp_path)
    assert not well
    assert "does not answer" in text
    assert "template" in text


@pytest.mark.parametrize(
    ("text", "well", "told"),
    [
        ("failure mode,cause\nscratch,worn pads\n", True, "1 causes"),
        ("colour,size\nred,3\n", False, "no row with a symptom and a cause"),
        (None, False, "cannot be read"),
    ],
)
def test_knowledge(tmp_path: Path, text: str | None, well: bool, told: str) -> None:
    if text is not None:
        (tmp_path / "fmea.csv").write_text(text)
    found = lines(ExplainerConfig(knowledge=Path("fmea.csv")), tmp_path)[-1]
    assert found[0] is well
    assert told in found[1]


@pytest.mark.parametrize(
    ("changes", "well", "told"),
    [
        ({}, True, "weight 0.40, calibrated on 80 parts"),
        ({"weight": 0.0}, False, "earned no weight on 80 parts"),
        ({"model_sha256": "other"}, False, "of another model"),
        ({"language": "de"}, False, "language: de"),
    ],
)
def test_opinions(
    server: ChatServer, tmp_path: Path, changes: dict[str, object], well: bool, told: str
) -> None:
    config = ExplainerConfig(server=server.config(api_key_env="TEST_KEY"), opinions=True)
    values = {"model_sha256": server_sha256(server.config()), "slope": 1.0, "offset": 0.0, "weight": 0.4}
    save_fit(tmp_path, OpinionFit(**{**values, "gain_nats": 0.05, "parts": 80, **changes}))  # type: ignore[arg-type]
    found = lines(config, tmp_path)[-1]
    assert found[0] is well
    assert told in found[1]


@pytest.mark.parametrize("damaged", [None, "{}", "[1"])
def test_opinions_without_a_usable_file(server: ChatServer, tmp_path: Path, damaged: str | None) -> None:
    if damaged is not None:
        (tmp_path / "opinion.json").write_text(damaged)
    config = ExplainerConfig(server=server.config(api_key_env="TEST_KEY"), opinions=True)
    well, text = lines(config, tmp_path)[-1]
    assert not well
    assert "opinion.json" in text
