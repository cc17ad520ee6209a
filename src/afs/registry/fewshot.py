"""`afs models fewshot`: an expert made of a base and worked examples, chosen from verified records."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

import msgspec

from afs import artifacts, datasets, jsonl
from afs.config import Config
from afs.errors import DataError
from afs.plugins import names
from afs.providers.fewshot import FILE, FewShotPrompt
from afs.registry import Registry
from afs.registry.state import Entry
from afs.types import Artifact, Dataset, Message, Record, RefText
from afs.workspace import Workspace

_LETTERS_PER_TOKEN = 4


class FewshotConfig(Config, frozen=True, kw_only=True):
    """Make a few-shot expert from records, and register it."""

    positional: ClassVar[tuple[str, ...]] = ("name", "base", "dataset")
    name: str
    """Registered name of the expert."""
    base: str
    """Model behind it: an artifact, or a provider's model such as `ollama:qwen2.5-coder:14b`."""
    dataset: RefText
    """Where the examples come from; only its training side is read."""
    examples: int = 6
    """Most examples."""
    tokens: int = 1500
    """Most tokens of examples, at four letters a token: what every question will cost."""
    system: str = ""
    """Instructions before the examples."""
    tags: tuple[str, ...] = ()
    """Task families the expert answers."""
    domain: str = ""
    """Pack that checks its answers."""


def fewshot(config: FewshotConfig, workspace: Workspace) -> Entry:
    """Choose examples, store them, register the expert as a candidate."""
    stored = datasets.load(workspace, config.dataset)
    made = store(config, workspace, stored, choose(_training(workspace, stored), config.examples, config.tokens))
    return Registry(workspace).register(config.name, made.ref, tags=config.tags, domain=config.domain)


def _training(workspace: Workspace, stored: Dataset) -> Iterable[Record]:
    split = next((s.name for s in stored.splits if s.name in ("train", "all")), "")
    if not split:
        raise DataError(f"{stored.ref}: no training side to take examples from")
    return datasets.read(workspace, stored, split)


def choose(records: Iterable[Record], count: int, tokens: int) -> list[Record]:
    """Short verified examples, one family after the other; what a check refused is never shown."""
    families: dict[str, list[Record]] = {}
    for record in records:
        if any(verdict.ok is False for verdict in record.verdicts) or not datasets.answer(record):
            continue
        families.setdefault(record.task.family if record.task else record.kind, []).append(record)
    for family in families.values():
        family.sort(key=lambda r: (not any(v.ok for v in r.verdicts), _letters(r), r.id))
    chosen: list[Record] = []
    left = tokens * _LETTERS_PER_TOKEN
    place = 0
    while len(chosen) < count and any(place < len(family) for family in families.values()):
        for name in sorted(families):
            if place < len(families[name]) and len(chosen) < count:
                record = families[name][place]
                if _letters(record) <= left:
                    chosen.append(record)
                    left -= _letters(record)
        place += 1
    if not chosen:
        raise DataError(f"no record has a usable answer within {tokens} tokens; raise --tokens")
    return chosen


def _letters(record: Record) -> int:
    return sum(len(message.text) for message in _turns(record))


def _turns(record: Record) -> tuple[Message, ...]:
    return tuple(message for message in record.messages if message.role in ("user", "assistant"))


def store(config: FewshotConfig, workspace: Workspace, stored: Dataset, chosen: list[Record]) -> Artifact:
    """The expert as an artifact."""
    prompt = FewShotPrompt(
        system=config.system,
        examples=tuple(_turns(record) for record in chosen),
        records=tuple(record.id for record in chosen),
    )
    is_provider = config.base.partition(":")[0] in names("provider")
    base = config.base if is_provider else artifacts.load(workspace, config.base).ref
    fields = {"base": base, "dataset": stored.ref, "dataset_digest": stored.digest}
    with artifacts.storing(workspace, f"{config.name}-fewshot", form="fewshot", **fields) as pending:
        jsonl.replace(pending.folder / FILE, msgspec.json.format(msgspec.json.encode(prompt), indent=2))
        letters = sum(_letters(record) for record in chosen)
        pending.facts.update(examples=len(chosen), tokens_estimate=letters // _LETTERS_PER_TOKEN)
    return pending.artifact
