"""Requests and answers of the chat completions that OpenAI-compatible servers have in common. Pure."""

import base64
import json
import math
from dataclasses import dataclass
from typing import Any, Literal

from inspector.config import LlmServerConfig
from inspector.errors import ModelError
from inspector.explain.engine import Schema, Usage
from inspector.explain.prompt import Prompt, Turn

Form = Literal["schema", "plain_schema", "json", "none"]
FORMS: tuple[Form, ...] = ("schema", "plain_schema", "json", "none")
"""How the answer is forced into shape, the strictest first. A server that refuses one gets the next:
whatever it honours, `check` looks at every answer."""

_SAID = 120


@dataclass(frozen=True, slots=True)
class Answer:
    text: str
    usage: Usage


def body(
    config: LlmServerConfig, prompt: Prompt, schema: Schema, *, max_tokens: int, form: Form
) -> dict[str, Any]:
    """Return the request as JSON data."""
    made: dict[str, Any] = {
        "model": config.model,
        "messages": [message(turn, images=config.images) for turn in prompt],
        "max_tokens": max_tokens,
        "temperature": 0,
        "stream": False,
    }
    if form in ("schema", "plain_schema"):
        wanted = schema if form == "schema" else _without_patterns(schema)
        made["response_format"] = {
            "type": "json_schema",
            "json_schema": {"name": "explanation", "strict": True, "schema": wanted},
        }
    elif form == "json":
        made["response_format"] = {"type": "json_object"}
    return made


def choice_body(config: LlmServerConfig, prompt: Prompt, choices: tuple[str, ...]) -> dict[str, Any]:
    """Return the request for one token and the probabilities of those that might stand there."""
    return {
        "model": config.model,
        "messages": [message(turn, images=config.images) for turn in prompt],
        "max_tokens": 1,
        "temperature": 0,
        "stream": False,
        "logprobs": True,
        "top_logprobs": max(20, len(choices)),
    }


def message(turn: Turn, *, images: bool) -> dict[str, Any]:
    """Return one message; images go along as data URLs where the model sees."""
    if not (images and turn.images):
        return {"role": turn.role, "content": turn.content}
    parts: list[dict[str, Any]] = [{"type": "text", "text": turn.content}]
    for image in turn.images:
        url = f"data:image/png;base64,{base64.b64encode(image).decode('ascii')}"
        parts.append({"type": "image_url", "image_url": {"url": url}})
    return {"role": turn.role, "content": parts}


def parse_answer(status: int, raw: bytes, host: str) -> Answer:
    """Return what the model said. Raises ModelError for everything that is not a whole answer."""
    if status != 200:
        reason = {401: "it refuses the key", 403: "it refuses the key", 429: "it is busy"}.get(status, "")
        raise ModelError(f"{host} answers {status}" + (f": {reason or _said(raw)}" if reason or raw else ""))
    try:
        parsed = json.loads(raw)
        choice = parsed["choices"][0]
        text, finish = choice["message"]["content"], choice.get("finish_reason")
        used = parsed.get("usage") or {}
        cached = (used.get("prompt_tokens_details") or {}).get("cached_tokens") or 0
        usage = Usage(
            read=max(0, int(used.get("prompt_tokens") or 0) - int(cached)),
            cached=int(cached),
            written=int(used.get("completion_tokens") or 0),
        )
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise ModelError(f"{host} does not answer as an OpenAI-compatible server does") from error
    if not isinstance(text, str) or not text:
        raise ModelError(f"{host} gave an empty answer")
    if finish == "length":
        raise ModelError(f"the answer of {host} is longer than max_tokens")
    return Answer(text, usage)


def parse_choice(status: int, raw: bytes, host: str, choices: tuple[str, ...]) -> tuple[float, ...]:
    """Return the share of each choice. Raises ModelError."""
    if status != 200:
        raise ModelError(f"{host} answers {status}: {_said(raw)}")
    try:
        first = json.loads(raw)["choices"][0]["logprobs"]["content"][0]
        top_tokens = list(first["top_logprobs"])
        words = {str(token["token"]).strip().lower() for token in top_tokens}
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise ModelError(f"{host} gives no probabilities of tokens (logprobs)") from error
    if not words & set(choices):
        raise ModelError(f"{host} answers with none of {', '.join(choices)}")
    try:
        return shares_of(top_tokens, choices)
    except (ValueError, LookupError, TypeError) as error:
        raise ModelError(f"{host} gives no probabilities of tokens (logprobs)") from error


def shares_of(top_tokens: list[dict[str, Any]], choices: tuple[str, ...]) -> tuple[float, ...]:
    """Return the share of each choice among the likeliest tokens, whatever its case and spaces.

    Raises ValueError when none is among them, LookupError or TypeError for what is no such list.
    """
    shares = dict.fromkeys(choices, 0.0)
    for token in top_tokens:
        word = str(token["token"]).strip().lower()
        if word in shares:
            shares[word] += math.exp(min(0.0, float(token["logprob"])))
    total = sum(shares.values())
    if total <= 0.0:
        raise ValueError(f"none of {', '.join(choices)}")
    return tuple(shares[choice] / total for choice in choices)


def _without_patterns(schema: Any) -> Any:
    if isinstance(schema, dict):
        return {key: _without_patterns(value) for key, value in schema.items() if key != "pattern"}
    return schema


def _said(raw: bytes) -> str:
    text = raw[:_SAID].decode("utf-8", "replace")
    return "".join(sign if sign.isprintable() else " " for sign in text).strip()
