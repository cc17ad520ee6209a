"""System prompts by role, each a text file in `prompts/`; those that ask for code say which code is judged."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from importlib.resources import files
from typing import Final

from afs.domains.base import CODE_RULE

_PACKAGE: Final = "afs.domains.snes"
_OF_CODE: Final = frozenset({"generate", "optimize", "debug", "translate", "patch"})


class SystemPrompts(Mapping[str, str]):
    """Role -> prompt."""

    @cached_property
    def _texts(self) -> dict[str, str]:
        folder = files(_PACKAGE) / "prompts"
        found = (entry for entry in folder.iterdir() if entry.name.endswith(".txt"))
        return {entry.name[:-4]: entry.read_text("utf-8").strip() for entry in sorted(found, key=lambda e: e.name)}

    def __getitem__(self, name: str) -> str:
        text = self._texts[name]
        return f"{text} {CODE_RULE}" if name in _OF_CODE else text

    def __iter__(self) -> Iterator[str]:
        return iter(self._texts)

    def __len__(self) -> int:
        return len(self._texts)


PROMPTS: Final = SystemPrompts()
