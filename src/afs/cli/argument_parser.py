"""The words of a command line by kind: plain words, flags with their values, files given with `@`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from afs.errors import UsageError
from afs.suggestions import suggest_name

GLOBAL_FLAGS = ("json", "workspace", "quiet", "help", "version", "dry_run")


class Words(NamedTuple):
    """The command line by kind: plain words, flags with their values, files given with `@`."""

    plain: list[str]
    flags: dict[str, list[str]]
    files: list[Path]


def sort_words(words: Sequence[str], kinds: Mapping[str, str], short: Mapping[str, str], has_files: bool) -> Words:
    """Separate plain words, flags with their values, and `@file`s; `kinds` has the kind of every option."""
    plain: list[str] = []
    flags: dict[str, list[str]] = {}
    files: list[Path] = []
    waiting = list(words)
    while waiting:
        word = waiting.pop(0)
        if word == "--":
            plain += waiting
            break
        if word.startswith("--"):
            name, equals, value = word[2:].partition("=")
            _take(name, value if equals else None, waiting, flags, kinds)
        elif word.startswith("-") and len(word) > 1 and not _is_number(word):
            if word == "-h":
                flags["help"] = ["true"]
                continue
            name = short.get(word[1], "")
            if not name:
                raise UsageError(f"unknown option {word!r}{suggest_name(word[1], short)}")
            _take(name, word[2:] or None, waiting, flags, kinds)
        elif word.startswith("@") and has_files:
            files.append(Path(word[1:]))
        else:
            plain.append(word)
    return Words(plain, flags, files)


def _is_number(word: str) -> bool:
    return word[1:2].isdigit() or word[1:2] == "."


def _take(
    name: str, value: str | None, waiting: list[str], flags: dict[str, list[str]], kinds: Mapping[str, str]
) -> None:
    name = name.replace("-", "_")
    if name.startswith("no_") and kinds.get(name[3:], "").startswith("true/false"):
        name, value = name[3:], "false"
    is_switch = kinds.get(name, "").startswith("true/false") or (name in GLOBAL_FLAGS and name != "workspace")
    if value is None and is_switch:
        value = waiting.pop(0) if waiting and waiting[0] in ("true", "false") else "true"
    if value is None:
        if not waiting or (waiting[0].startswith("--") and len(waiting[0]) > 2):
            raise UsageError(f"--{name} needs a value")
        value = waiting.pop(0)
    flags.setdefault(name, []).append(value)
