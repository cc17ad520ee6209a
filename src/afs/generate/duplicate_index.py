"""What a campaign must not nearly repeat: its own accepted samples, and records that exist already."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from afs import datasets, plugins
from afs.generate.config import GenerateConfig
from afs.types import Task
from afs.workspace import Workspace


class TextIndex(Protocol):
    """Texts that are known; the curation's index of near duplicates."""

    def admit(self, texts: Sequence[str]) -> list[str]:
        """For each text, empty when it is new, and then it is known; else the text that it copies."""


_KNOWN_TEXTS = plugins.Late[Callable[[], TextIndex]](plugins.HOOKS["known_texts"])


def open_texts(config: GenerateConfig, workspace: Workspace) -> TextIndex | None:
    """What the campaign must not nearly repeat, with the records that are named; None when nothing is compared."""
    if not (config.distinct or config.distinct_from):
        return None
    texts = _KNOWN_TEXTS.load()()
    for name in config.distinct_from:
        dataset = datasets.load(workspace, name)
        for record in datasets.read(workspace, dataset):
            texts.admit(["\n".join(m.text for m in record.messages if m.role != "system")])
    return texts


def sample_text(task: Task, answer: str) -> str:
    """A sample as it is compared: what is asked, and the answer."""
    return f"{task.prompt}\n{answer}"
