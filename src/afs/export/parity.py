"""Parity of a converted model with its source: measured on probe texts, with bounds that fail.

Tokens, chat rendering, the likeliest next token, KL divergence and perplexity, at every place of every probe.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from afs.chat_template import ChatTemplate, read_template
from afs.errors import RefusedError
from afs.export.merge_kernel import Floats
from afs.export.model_families import ModelConfig, model_config
from afs.export.numpy_forward import Folder, WeightSource, logits
from afs.export.safetensors_files import Weights
from afs.providers.llama import LlamaServer
from afs.types import Json, Message, Value

Doubles = NDArray[np.float64]
BOUNDS: Mapping[str, float] = {
    "merged": 2e-2,
    "F32": 1e-3,
    "F16": 1e-2,
    "BF16": 2e-2,
    "Q8_0": 3e-2,
    "Q6_K": 0.1,
    "Q5_K_M": 0.2,
    "Q4_K_M": 0.5,
}
"""Largest mean KL divergence in nats for each kind; --max-kl sets another."""
TEXTS = (
    "lda #$01 : sta $7E0010 ; the first byte",
    "The routine saves the registers, waits for the blank and copies the buffer.",
    "def add(a, b):\n    return a + b\n\nprint(add(2, 3))",
    "Frage: Wie viele Zyklen? Antwort: 7 — 日本語 🎉",
)
CHATS = (
    (Message(role="user", text="What does REP #$30 do?"),),
    (
        Message(role="system", text="You are brief."),
        Message(role="user", text="a\n\n  b\t"),
        Message(role="assistant", text="c"),
        Message(role="user", text="<|x|> { } % #"),
    ),
)
_TOP = 2048
"""Likeliest tokens asked of llama.cpp; of the others only their sum is known, shared evenly for perplexity."""
_PLACES = 24
"""Longest probe, in tokens."""


class Parity(Value, frozen=True, kw_only=True):
    """What was measured."""

    places: int
    top1: float | None = None
    """Share of places where both name the same likeliest token."""
    kl: float | None = None
    """Mean KL divergence in nats; unknown for architectures that have no forward pass of ours."""
    perplexity: float | None = None
    perplexity_source: float | None = None
    tokens_equal: bool | None = None
    chats_equal: bool | None = None
    bound: float = 0.0


def probe_texts(folder: Path, texts: Sequence[str] = TEXTS) -> list[list[int]]:
    """The probe texts as tokens of this model."""
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    found = [tokenizer.encode(text, add_special_tokens=False).ids[:_PLACES] for text in texts]
    return [ids for ids in found if len(ids) > 1]


def log_softmax(values: Floats) -> Doubles:
    """Logits as log-probabilities."""
    shifted = (values - values.max(-1, keepdims=True)).astype(np.float64)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(-1, keepdims=True)))


def compare(prompts: Sequence[Sequence[int]], source: Sequence[Floats], made: Sequence[Floats]) -> Parity:
    """Two models' logits on the same prompts."""
    source_rows, made_rows = [log_softmax(part) for part in source], [log_softmax(part) for part in made]
    p, q = np.concatenate(source_rows), np.concatenate(made_rows)
    divergence = (np.exp(p) * (p - q)).sum(-1)
    return Parity(
        places=len(p),
        top1=float((p.argmax(-1) == q.argmax(-1)).mean()),
        kl=clip_at_zero(float(divergence.mean())),
        perplexity=_perplexity(prompts, made_rows),
        perplexity_source=_perplexity(prompts, source_rows),
    )


def clip_at_zero(divergence: float) -> float:
    """Rounding may leave a little less than nothing; what is no number stays none, and fails."""
    return 0.0 if divergence < 0 else divergence


def _perplexity(prompts: Sequence[Sequence[int]], logprobs: Sequence[Doubles]) -> float:
    chosen = [part[np.arange(len(ids) - 1), ids[1:]] for ids, part in zip(prompts, logprobs, strict=True)]
    return float(np.exp(-np.concatenate(chosen).mean()))


def compare_merged(
    config: ModelConfig, adapted: WeightSource, merged: Path, prompts: Sequence[Sequence[int]]
) -> Parity:
    """The merged folder against base + adapter."""
    return compare(prompts, logits(config, adapted, prompts), logits(config, Folder(Weights(merged)), prompts))


def compare_gguf(folder: Path, server: LlamaServer, adapter: str = "", source: WeightSource | None = None) -> Parity:
    """A loaded GGUF (with one of its adapters) against the folder it was made from."""
    prompts = probe_texts(folder)
    source_logits = logits(model_config(folder), source or Folder(Weights(folder)), prompts)
    rows = [log_softmax(part) for part in source_logits]
    divergences, agree, chosen = [], [], []
    for ids, row in zip(prompts, rows, strict=True):
        for place in range(len(ids)):
            found = server.next_token(ids[: place + 1], _TOP, adapter)
            divergences.append(bucketed_kl(row[place], found))
            agree.append(int(row[place].argmax()) == max(found, key=lambda token: found[token]))
            if place + 1 < len(ids):
                chosen.append(found.get(ids[place + 1], rest_mass(found, row.shape[-1])))
    return Parity(
        places=len(divergences),
        top1=float(np.mean(agree)),
        kl=clip_at_zero(float(np.mean(divergences))),
        perplexity=float(np.exp(-np.mean(chosen))),
        perplexity_source=_perplexity(prompts, rows),
        tokens_equal=count_equal_tokens(folder, server),
        chats_equal=count_equal_chats(folder, server),
    )


def compare_foreign(folder: Path, server: LlamaServer) -> Parity:
    """A loaded GGUF of an architecture that is not known here: the tokens and the chats alone."""
    return Parity(
        places=0, tokens_equal=count_equal_tokens(folder, server), chats_equal=count_equal_chats(folder, server)
    )


def bucketed_kl(row: Doubles, found: Mapping[int, float]) -> float:
    """KL divergence over the reported tokens and one bucket of all others."""
    ids = np.fromiter(found, dtype=np.int64)
    q = np.fromiter(found.values(), dtype=np.float64)
    p = row[ids]
    inside = float((np.exp(p) * (p - q)).sum())
    rest_p, rest_q = max(0.0, 1 - float(np.exp(p).sum())), max(1e-12, 1 - float(np.exp(q).sum()))
    return inside + (rest_p * float(np.log(rest_p / rest_q)) if rest_p > 1e-9 and len(ids) < len(row) else 0.0)


def rest_mass(found: Mapping[int, float], vocabulary: int) -> float:
    """The log-probability of an unreported token, if all of these are equally likely."""
    mass = max(1e-12, 1 - float(np.exp(list(found.values())).sum()))
    return float(np.log(mass / max(1, vocabulary - len(found))))


def count_equal_tokens(folder: Path, server: LlamaServer) -> bool:
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    rendered = [render(folder, chat) for chat in CHATS]
    texts = [*TEXTS, *(text for text in rendered if text)]
    return all(server.tokens(text) == tokenizer.encode(text, add_special_tokens=False).ids for text in texts)


def count_equal_chats(folder: Path, server: LlamaServer) -> bool | None:
    rendered = [render(folder, chat) for chat in CHATS]
    if not all(rendered):
        return None
    return all(server.render(chat) == text for chat, text in zip(CHATS, rendered, strict=True))


def render(folder: Path, chat: Sequence[Message]) -> str:
    """A chat by the folder's own template, as Hugging Face renders it; empty when it has none."""
    text = read_template(folder)
    rows: list[Json] = [{"role": message.role, "content": message.text} for message in chat]
    return open_template(text, str(folder)).render(rows, add_generation_prompt=True) if text else ""


@functools.lru_cache(maxsize=2)
def open_template(text: str, place: str) -> ChatTemplate:
    """A template renders many chats: its worker is kept."""
    return ChatTemplate(text, place)


def refuse_divergence(parity: Parity, kind: str, what: str, max_kl: float = 0.0) -> Parity:
    """Raise when something differs more than the bound allows."""
    bound = max_kl or BOUNDS[kind]
    problems = []
    if parity.kl is not None and not parity.kl <= bound:
        problems.append(f"KL divergence {parity.kl:.3g} is above {bound:g}")
    if parity.tokens_equal is False:
        problems.append("it splits text into other tokens")
    if parity.chats_equal is False:
        problems.append("it renders chats differently")
    if problems:
        raise RefusedError(f"{what} differs from its source: {'; '.join(problems)}")
    return msgspec.structs.replace(parity, bound=bound)
