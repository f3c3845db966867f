"""A folder of safetensors through `transformers`, in 4 bit on a GPU. Needs the extra [llm].

For weights that llama.cpp does not know, or that nobody has brought into GGUF yet. Tokens are drawn one by
one here rather than by `generate`: the grammar (llguidance, the one that llama.cpp uses) then forces the
schema, a deadline or an interrupt is seen after each token, and what two prompts share is read once.
4 bit is NF4 of bitsandbytes (Dettmers et al. 2023, arXiv:2305.14314) and needs CUDA; without a GPU the
weights are used as they lie in the files.
"""

import hashlib
import json
import threading
from pathlib import Path
from typing import Any

import llguidance
import llguidance.hf
import numpy as np
import safetensors
import torch
import transformers

from inspector.clock import Clock
from inspector.errors import ModelError
from inspector.explain.engine import DeadlineError, PreemptedError, Schema, Usage
from inspector.explain.prompt import Prompt
from inspector.explain.server_messages import message, shares_of
from inspector.explain.weights import sha256_of

_PIECE = 256
"""Prompt tokens between two looks at the deadline."""
_TOP_TOKENS = 1000
_LOADING = (OSError, ValueError, RuntimeError, KeyError, TypeError, ImportError, safetensors.SafetensorError)
"""What a folder that is not whole, or of an unknown architecture, makes of `from_pretrained`."""


class TransformersEngine:
    """A language model in safetensors. Callable from any thread, one call at a time.

    Computes in the caller's thread. Raises ModelError when the folder cannot be loaded.
    """

    def __init__(
        self,
        folder: Path,
        clock: Clock,
        *,
        threads: int = 1,
        context_tokens: int = 2048,
        max_tokens: int = 160,
    ) -> None:
        self._clock = clock
        self._context_tokens = context_tokens
        self._max_tokens = max_tokens
        self._one_caller = threading.Lock()
        self._busy = self._preempted = self._closed = False
        self._usage = Usage()
        self._read: list[int] = []
        self._cache: Any = None
        torch.set_num_threads(threads)
        try:
            self._tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
            self._model = _load(folder)
            self._vocabulary = int(self._model.get_output_embeddings().weight.shape[0])
            self._ends = _ends(self._model, self._tokenizer)
            self._grammar_tokens = llguidance.hf.from_tokenizer(
                self._tokenizer, n_vocab=self._vocabulary, eos_token=self._ends
            )
            self._model_sha256 = folder_sha256(folder)
        except _LOADING as error:
            said = " ".join(str(error).split())[:200]
            raise ModelError(f"{folder} cannot be loaded as a safetensors language model: {said}") from error

    @property
    def model_sha256(self) -> str:
        return self._model_sha256

    @property
    def usage(self) -> Usage:
        return self._usage

    def complete(self, prompt: Prompt, schema: Schema, deadline_ns: int) -> str:
        """Return an answer in `schema`, greedy. See `Engine.complete`."""
        compact = {**schema, "x-guidance": {"whitespace_flexible": False}}
        try:
            grammar = llguidance.LLMatcher.grammar_from_json_schema(json.dumps(compact))
        except ValueError as error:
            raise ModelError(f"the schema cannot be made into a grammar: {error}") from error
        matcher = llguidance.LLMatcher(self._grammar_tokens, grammar)
        if matcher.is_error():
            raise ModelError(f"the schema cannot be made into a grammar: {matcher.get_error()}")
        with self._turn():
            logits = self._begin(prompt, deadline_ns)
            written: list[int] = []
            while not matcher.is_stopped() and len(written) < self._max_tokens:
                mask = np.frombuffer(matcher.compute_bitmask(), np.uint8)
                allowed = torch.from_numpy(np.unpackbits(mask, bitorder="little")[: self._vocabulary].copy())
                token = int(logits.masked_fill(allowed.to(logits.device) == 0, float("-inf")).argmax())
                if token in self._ends:
                    break
                matcher.consume_token(token)
                more = [token, *matcher.compute_ff_tokens()]  # what the grammar leaves no choice about
                if len(more) > 1:
                    matcher.consume_tokens(more[1:])
                written += more
                self._usage = Usage(self._usage.read, self._usage.cached, len(written))
                if not matcher.is_stopped():
                    logits = self._forward(more, deadline_ns)
            if not matcher.is_accepting() and not matcher.is_stopped():
                raise ModelError(f"the answer is longer than {self._max_tokens} tokens (max_tokens)")
            return str(self._tokenizer.decode([each for each in written if each not in self._ends]))

    def choose(self, prompt: Prompt, choices: tuple[str, ...], deadline_ns: int) -> tuple[float, ...]:
        """Return the choices' shares of the first token's probability. See `Engine.choose`."""
        with self._turn():
            logits = self._begin(prompt, deadline_ns)
            found = logits.log_softmax(-1).topk(min(_TOP_TOKENS, self._vocabulary))
        top = [
            {"token": self._tokenizer.decode([int(token)]), "logprob": float(value)}
            for value, token in zip(found.values, found.indices, strict=True)
        ]
        try:
            return shares_of(top, choices)
        except ValueError as error:
            raise ModelError(f"the language model has no token for any of {', '.join(choices)}") from error

    def interrupt(self) -> None:
        self._preempted = self._busy

    def close(self) -> None:
        self._closed = self._preempted = True
        with self._one_caller:
            self._model = self._cache = None

    # -- one call ------------------------------------------------------------------------------

    def _turn(self) -> "_Turn":
        return _Turn(self)

    def enter(self) -> None:
        """Begin a call: see `_Turn`."""
        self._one_caller.acquire()
        if self._closed:
            self._one_caller.release()
            raise ModelError("the language model is closed")
        self._preempted, self._busy = False, True
        self._usage = Usage()

    def leave(self) -> None:
        """End a call."""
        self._busy = False
        self._one_caller.release()

    def _begin(self, prompt: Prompt, deadline_ns: int) -> Any:
        """Read what of the prompt is new; return the logits behind it, (vocabulary,), float32."""
        turns = [message(turn, images=False) for turn in prompt]
        text = self._tokenizer.apply_chat_template(turns, add_generation_prompt=True, tokenize=False)
        tokens = self._tokenizer.encode(text, add_special_tokens=False)
        if len(tokens) + self._max_tokens > self._context_tokens:
            raise ModelError(
                f"the language model refused the request: {len(tokens)} tokens and an answer are more "
                f"than {self._context_tokens} (context_tokens)"
            )
        same = 0
        while same < min(len(tokens) - 1, len(self._read)) and tokens[same] == self._read[same]:
            same += 1
        if self._cache is None or same == 0:
            self._cache, self._read, same = transformers.DynamicCache(), [], 0
        if same < len(self._read):
            self._cache.crop(same - len(self._read))  # below 0: so many from the end
            del self._read[same:]
        self._usage = Usage(read=len(tokens) - same, cached=same)
        return self._forward(tokens[same:], deadline_ns)

    def _forward(self, tokens: list[int], deadline_ns: int) -> Any:
        logits: Any = None
        for at in range(0, len(tokens), _PIECE):
            if self._preempted:
                raise PreemptedError("the language model was needed for something else")
            if self._clock.now_ns() >= deadline_ns:
                raise DeadlineError("the language model had no time to finish")
            piece = tokens[at : at + _PIECE]
            ids = torch.tensor([piece], device=self._model.device)
            try:
                with torch.inference_mode():
                    made = self._model(
                        input_ids=ids, past_key_values=self._cache, use_cache=True, logits_to_keep=1
                    )
            except (RuntimeError, IndexError) as error:
                self._cache, self._read = None, []
                raise ModelError(
                    f"the language model failed: {' '.join(str(error).split())[:200]}"
                ) from error
            self._read += piece
            logits = made.logits[0, -1].float()
        return logits


class _Turn:
    """The one call that an engine works on."""

    def __init__(self, engine: TransformersEngine) -> None:
        self._engine = engine

    def __enter__(self) -> None:
        self._engine.enter()

    def __exit__(self, *_: object) -> None:
        self._engine.leave()


def folder_sha256(folder: Path) -> str:
    """Return the hash of the names and hashes of all that makes the model what it is."""
    files = sorted(path for path in folder.iterdir() if path.suffix in (".safetensors", ".json", ".jinja"))
    listed = "".join(f"{path.name} {sha256_of(path)}\n" for path in files)
    return hashlib.sha256(listed.encode()).hexdigest()


def _load(folder: Path) -> Any:
    config = transformers.AutoConfig.from_pretrained(folder, local_files_only=True)
    sees = any(name.endswith("ForConditionalGeneration") for name in config.architectures or ())
    kind = transformers.AutoModelForImageTextToText if sees else transformers.AutoModelForCausalLM
    options: dict[str, Any] = {"dtype": "auto"}
    if torch.cuda.is_available():
        options["device_map"] = "cuda:0"
        options["quantization_config"] = transformers.BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=torch.bfloat16,
        )
    return kind.from_pretrained(folder, local_files_only=True, use_safetensors=True, **options).eval()


def _ends(model: Any, tokenizer: Any) -> list[int]:
    """Return the tokens that end an answer."""
    named = model.generation_config.eos_token_id
    found = named if isinstance(named, list) else [named]
    return sorted({int(token) for token in (*found, tokenizer.eos_token_id) if token is not None})
