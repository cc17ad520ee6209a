"""The options of a command as a NamedTuple, so that a command with simple words starts without msgspec.

`config.config_class` makes the config class of the same command from the same table. Here only paths, texts and
switches are read; for every other word `read_options` returns None, and the config class reads all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, ForwardRef, NamedTuple, Protocol


class OwnText(Protocol):
    """A result that has its own text for a terminal."""

    def text(self) -> str:
        """The text."""


class OptionList(NamedTuple):
    """A command's options, and what it does with them."""

    fields: type[tuple[object, ...]]
    """A NamedTuple class; a text below each field says what it is for."""
    run: Callable[..., OwnText]
    """Takes the fields as keywords."""
    positional: tuple[str, ...] = ()
    short: Mapping[str, str] = {}


_KINDS: Final = {
    "Path": "path",
    "Path | None": "path or none",
    "tuple[Path, ...]": "list of path",
    "str": "text",
    "bool": "true/false",
}
"""Annotation -> kind, for what can be read here."""


def kinds(options: OptionList) -> dict[str, str]:
    """Field -> kind as help names it; `table` for what is not read here."""
    annotations: dict[str, ForwardRef] = options.fields.__annotations__
    return {name: _KINDS.get(kind.__forward_arg__, "table") for name, kind in annotations.items()}


def read_options(
    options: OptionList, plain: Sequence[str], flags: Mapping[str, Sequence[str]]
) -> dict[str, object] | None:
    """Field -> value of these words; None where a word is not simple or one is missing."""
    known = kinds(options)
    if len(plain) > len(options.positional):
        return None
    words = {name: [text] for name, text in zip(options.positional, plain, strict=False)} | dict(flags)
    values = {name: _read(known.get(name, ""), texts) for name, texts in words.items()}
    has_all = all(name in values for name in known if name not in defaults(options))
    return values if has_all and None not in values.values() else None


def defaults(options: OptionList) -> Mapping[str, object]:
    """Field -> default, of the fields that have one."""
    found: Mapping[str, object] = vars(options.fields)["_field_defaults"]
    return found


def _read(kind: str, texts: Sequence[str]) -> object:
    text = texts[-1]
    if kind in ("path", "path or none"):
        return None if text == "none" else Path(text)
    if kind == "list of path":
        return None if text.startswith("[") else tuple(Path(item) for item in texts if item)
    if kind == "true/false":
        return {"true": True, "false": False}.get(text)
    return text if kind == "text" else None
