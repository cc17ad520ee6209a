"""System prompts by role, each a text file in `prompts/`; those that ask for code say which code is judged."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Final

from afs.domains.base import CODE_RULE

_FOLDER: Final = Path(__file__).with_name("prompts")
_OF_CODE: Final = frozenset({"generate", "optimize", "debug", "translate", "patch"})


class SystemPrompts(Mapping[str, str]):
    """Role -> prompt."""

    @cached_property
    def _texts(self) -> dict[str, str]:
        return {path.stem: path.read_text("utf-8").strip() for path in sorted(_FOLDER.glob("*.txt"))}

    def __getitem__(self, name: str) -> str:
        text = self._texts[name]
        return f"{text} {CODE_RULE}" if name in _OF_CODE else text

    def __iter__(self) -> Iterator[str]:
        return iter(self._texts)

    def __len__(self) -> int:
        return len(self._texts)


PROMPTS: Final = SystemPrompts()
