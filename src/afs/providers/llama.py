"""llama.cpp beside this process: one loaded GGUF, several LoRA adapters on it, and an OpenAI-compatible address.

Every request names every adapter with an explicit scale (left out, an adapter counts as switched on), and each expert
has a slot of its own, so that its prompt cache is never another's. Providers on the same files share one server.
"""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from afs.config import Config, decode
from afs.errors import UsageError, boundary
from afs.plugins import suggest_name
from afs.providers.base import GREEDY, LentWire, Sampling, Wire, chat_message
from afs.providers.endpoint import Answer, Api
from afs.providers.failures import CallError
from afs.providers.llama_process import Launch, LlamaProcess
from afs.providers.loaded_models import LOADED
from afs.providers.openai import OpenAI
from afs.types import Completion, Message, Tool

_TIMEOUT_S = 600.0
TOP_TOKENS = 2048
"""Likeliest tokens asked for when an answer's likelihood is measured."""


DIALECTS = frozenset({"chat/completions", "completions", "responses", "messages", "messages/count_tokens"})
"""What llama.cpp serves; its `messages` drops the fields it does not know, an adapter's scale among them."""
PRESET = "llama.json"


class LlamaPreset(Config, frozen=True, kw_only=True):
    """The file `llama.json` of a folder: one base and the experts on it, with paths relative to the folder."""

    schema: int = 1
    """Version of the file."""
    model: str
    """The base's GGUF."""
    adapters: dict[str, str] = {}
    """Expert -> LoRA GGUF."""
    context: int = 4096
    """Tokens of context for each request."""


class LlamaConfig(Config, frozen=True, kw_only=True):
    """Options of the provider `llama:FILE`."""

    adapters: dict[str, str] = {}
    """Experts on this base: name -> LoRA GGUF (file, or folder with one)."""
    adapter: str = ""
    """Which of them answers: a name, or the path of an only one; empty: the base itself."""
    name: str = ""
    """What results are filed under; empty: the file's name."""
    context: int = 4096
    """Tokens of context for each request."""
    parallel: int = 1
    """Requests answered at once."""
    threads: int = 0
    """Threads of computation; 0: one per core, or OMP_NUM_THREADS where it is set."""
    gpu_layers: int = -1
    """Layers on the graphics card; -1: as many as fit, 0: none."""


class _Key(NamedTuple):
    model: Path
    adapters: tuple[tuple[str, Path], ...]
    context: int
    parallel: int
    threads: int
    gpu_layers: int


class LlamaServer:
    """One loaded model with its adapters, in a process of its own that is started again when it dies."""

    def __init__(self, key: _Key) -> None:
        self.model, self.adapters = key.model, [name for name, _ in key.adapters]
        self.slots = max(key.parallel, len(key.adapters) + 1 if key.adapters else 1)
        self._launch = Launch(
            model=str(key.model),
            adapters=[str(path) for _, path in key.adapters],
            context=key.context,
            slots=self.slots,
            threads=key.threads,
            gpu_layers=key.gpu_layers,
        )
        self._process: LlamaProcess | None = None
        self._loading = threading.Lock()
        self._apis: dict[str, Api] = {}

    def load(self) -> None:
        """Start the process, unless it runs."""
        with self._loading:
            if self._process is None:
                self._process = LlamaProcess(self._launch)

    def unload(self) -> None:
        """End the process; the next request loads the model again."""
        with self._loading:
            for api in self._apis.values():
                api.close()
            self._apis = {}
            if self._process is not None:
                self._process.stop()
                self._process = None

    @property
    def process(self) -> LlamaProcess:
        """The process; loaded now if it was not."""
        self.load()
        assert self._process is not None
        return self._process

    @property
    def url(self) -> str:
        """Where it listens now."""
        return self.process.url

    @cached_property
    def _letter(self) -> int:
        return self.tokens("a")[0]

    def _api(self) -> Api:
        """The connection to the running process; another one after a restart."""
        url = self.process.url
        if url not in self._apis:
            self._apis = {url: Api(f"llama.cpp {self.model.name}", url, self.process.headers, _TIMEOUT_S)}
        return self._apis[url]

    def fields(self, adapter: str = "") -> dict[str, object]:
        """What every request of an expert carries: all scales, and its own slot with its own prompt cache."""
        lora = self.lora(adapter)
        if not self.adapters:
            return {"cache_prompt": True, "lora": lora}
        slot = self.adapters.index(adapter) + 1 if adapter else 0
        return {"cache_prompt": True, "lora": lora, "id_slot": slot}

    def lora(self, adapter: str = "") -> list[dict[str, object]]:
        """The field `lora` of a request: every adapter with an explicit scale."""
        if adapter and adapter not in self.adapters:
            raise UsageError(
                f"{self.model.name}: no adapter is called {adapter!r}{suggest_name(adapter, self.adapters)}"
            )
        return [{"id": place, "scale": float(name == adapter)} for place, name in enumerate(self.adapters)]

    def post(self, path: str, payload: Mapping[str, object], adapter: str = "") -> dict[str, Any]:
        """Ask the server with the expert's scales and slot; asked again when it died and was started again."""
        body = self.fields(adapter) | dict(payload)
        with LOADED.use(self):
            before = self.process.restarts
            try:
                return self._api().post(path, body).body
            except CallError:
                if not self.process.has_restarted(before):
                    raise
                return self._api().post(path, body).body

    def tokens(self, text: str) -> list[int]:
        """The tokens of a text, special ones recognized."""
        payload = {"content": text, "add_special": False, "parse_special": True}
        return [int(token) for token in self.post("/tokenize", payload)["tokens"]]

    def render(self, messages: Sequence[Message]) -> str:
        """A chat as the model sees it."""
        return str(self.post("/apply-template", {"messages": [chat_message(m) for m in messages]})["prompt"])

    def next_token(self, prompt: Sequence[int], top: int, adapter: str = "") -> dict[int, float]:
        """Log-probabilities of the `top` likeliest next tokens.

        A plain letter is forced as the answer (the probabilities are those before the bias): llama.cpp keeps back an
        answer that ends inside a character, and its probabilities with it.
        """
        payload = {
            "prompt": list(prompt),
            "n_predict": 1,
            "n_probs": top,
            "temperature": 0.0,
            "logit_bias": [[self._letter, 1000.0]],
            "post_sampling_probs": False,
        }
        found = self.post("/completion", payload, adapter)["completion_probabilities"][0]["top_logprobs"]
        return {int(row["id"]): float(row["logprob"]) for row in found}

    def stop(self) -> None:
        """Unload the model for good."""
        self.unload()
        LOADED.forget(self)


_servers: dict[_Key, tuple[LlamaServer, int]] = {}
_lock = threading.Lock()


def _acquire(key: _Key) -> LlamaServer:
    with _lock:
        server, users = _servers.get(key) or (LlamaServer(key), 0)
        with LOADED.use(server):  # a file that cannot be loaded is refused when it is opened
            _servers[key] = (server, users + 1)
        return server


def _release(key: _Key) -> None:
    with _lock:
        server, users = _servers[key]
        if users > 1:
            _servers[key] = (server, users - 1)
            return
        del _servers[key]
    server.stop()


def gguf_file(place: Path) -> Path:
    """The GGUF at a path: the file itself, or the only one in a folder."""
    if place.is_file():
        return place
    found = sorted(place.glob("*.gguf")) if place.is_dir() else []
    if len(found) != 1:
        raise UsageError(f"{place}: want a GGUF file or a folder with one, found {len(found)}")
    return found[0]


def _preset(place: Path) -> tuple[Path, dict[str, object]]:
    """The model and the options that a preset's folder stands for; anything else stands for itself."""
    if not (place / PRESET).is_file():
        return place, {}
    with boundary(UsageError, str(place / PRESET)):
        preset = msgspec.json.decode((place / PRESET).read_bytes(), type=LlamaPreset)
    adapters = {name: str(place / path) for name, path in preset.adapters.items()}
    return place / preset.model, {"adapters": adapters, "context": preset.context}


class Llama:
    """The provider `llama:FILE`: the base, or one of the experts on it."""

    def __init__(self, model: str, options: Mapping[str, object] = {}) -> None:
        place, preset = _preset(Path(model))
        config = decode(LlamaConfig, preset | dict(options), prefix=f"llama:{model}")
        adapters, chosen = dict(config.adapters), config.adapter
        if chosen and chosen not in adapters and Path(chosen).exists():
            adapters[chosen] = chosen
        self.adapter = chosen
        file = gguf_file(place).resolve()
        self._key = _Key(
            model=file,
            adapters=tuple((name, gguf_file(Path(place)).resolve()) for name, place in sorted(adapters.items())),
            context=config.context,
            parallel=config.parallel,
            threads=config.threads or int(os.environ.get("OMP_NUM_THREADS", "0")) or len(os.sched_getaffinity(0)),
            gpu_layers=config.gpu_layers,
        )
        self.name = config.name or (f"{file.stem}+{chosen}" if chosen else file.stem)
        self.server = _acquire(self._key)
        self._open = True
        self._format = OpenAI(self.name, {"base_url": "http://127.0.0.1"})  # only its bodies: the port changes
        self.server.lora(chosen)

    def complete(
        self, messages: Sequence[Message], sampling: Sampling = GREEDY, tools: Sequence[Tool] = ()
    ) -> Completion:
        """One answer of the expert."""
        started = time.monotonic()
        body = self._format.request(messages, sampling, tools)
        answer = self.server.post("/v1/chat/completions", body, self.adapter)
        read = self._format.read(Answer(answer, {}, time.monotonic() - started))
        usage = msgspec.structs.replace(read.usage, cost_usd=0.0)
        return msgspec.structs.replace(read, model=self.name, answered_by=self.name, usage=usage)

    def wire(self) -> Wire:
        """Where requests in the model's own formats go, and what they must carry."""
        return Wire(
            url=f"{self.server.url}/v1",
            headers=self.server.process.headers,
            fields=self.server.fields(self.adapter),
            dialects=DIALECTS if not self.server.adapters else DIALECTS - {"messages"},
            slots=self.server.slots,
        )

    def lend_wire(self, excluded: Container[str] = ()) -> tuple[LentWire | None, float]:
        """Its address; the model stays in memory until the request has ended. Lent again when it was started again."""
        LOADED.take(self.server)
        try:
            process = self.server.process
            start = process.restarts
            if self._name_of(start) in excluded and not process.has_restarted(start):
                raise CallError("busy", f"{self.name} failed")
            wire, name = self.wire(), self._name_of(process.restarts)
        except BaseException:
            LOADED.give(self.server)
            raise
        return LentWire(wire, name, lambda _: LOADED.give(self.server)), 0.0

    def _name_of(self, start: int) -> str:
        return f"{self.name} (start {start + 1})"

    def losses(self, conversations: Sequence[tuple[Sequence[Message], str]]) -> list[tuple[float, int]]:
        """(negative log-likelihood in nats, tokens) of each answer; a token beyond the likeliest shares their rest."""
        found = []
        for messages, answer in conversations:
            prompt, tokens = self.server.tokens(self.server.render(messages)), self.server.tokens(answer)
            nats = 0.0
            for place, token in enumerate(tokens):
                likeliest = self.server.next_token([*prompt, *tokens[:place]], TOP_TOKENS, self.adapter)
                rest = max(1e-9, 1.0 - sum(map(math.exp, likeliest.values())))
                nats -= likeliest.get(token, math.log(rest / TOP_TOKENS))
            found.append((nats, len(tokens)))
        return found

    def close(self) -> None:
        """Give the server back; the last user unloads it."""
        if self._open:
            self._open = False
            _release(self._key)

    def __enter__(self) -> Llama:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        with suppress(AttributeError, KeyError):
            self.close()


def experts(model: str, adapters: Mapping[str, str], options: Mapping[str, object] = {}) -> Iterator[Llama]:
    """Every expert of a base, on one loaded model."""
    for name in adapters:
        yield Llama(model, {**options, "adapters": dict(adapters), "adapter": name, "name": name})
