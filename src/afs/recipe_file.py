"""Reads a recipe: shared steps, variables and scales become the plain list of steps that runs.

extends = "shared/expert.toml"   # steps of another file, under those of this one
name = "din"                     # a variable: "{name}-sft" is "din-sft" everywhere
base = "qwen2.5-coder-7b"

[samples]                        # steps of its own stand before the shared ones
verb = "generate"

[more-samples]
verb = "generate"
beside = true                    # at the same time as the step before, whose result it does not need

[scale.tiny]                     # what `--scale tiny` changes: variables …
base = ""
[scale.tiny.train]               # … and steps
max_steps = 20
[scale.tiny.promote]
skip = true
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from afs import verbs
from afs.config import Config, decode, load_toml, merge
from afs.errors import ConfigError
from afs.plugins import suggest_name
from afs.types import Value

_VARIABLE = re.compile(r"\{([a-z_]+)\}")
_Scalar = str | int | float


class RecipeStep(Value, frozen=True, kw_only=True):
    """One table of a recipe."""

    name: str
    verb: str
    config: Config
    beside: bool = False
    """May run at the same time as the step before it."""


class RecipeText(NamedTuple):
    """A recipe before its steps are decoded."""

    file: str
    variables: dict[str, _Scalar]
    tables: dict[str, dict[str, Any]]


def read_recipe(path: Path, scale: str = "", values: Mapping[str, str] | None = None) -> list[RecipeStep]:
    """Decode every step before the first one runs; the first problem is raised."""
    steps, problems = decode_steps(resolve_recipe(path, scale, values or {}))
    if problems:
        raise problems[0]
    return steps


def resolve_recipe(path: Path, scale: str = "", values: Mapping[str, str] | None = None) -> RecipeText:
    """The recipe at one scale: its file over the one it extends, with its variables filled in."""
    layers = _read_layers(path)
    variables, tables = _combine(layers, "", str(path))
    if scale and scale != "full":
        known = sorted({name for layer in layers for name in _table(layer.get("scale"))})
        if scale not in known:
            raise ConfigError(
                "scale", f"no scale is called {scale!r}{suggest_name(scale, ['full', *known])}", file=str(path)
            )
        more, changed = _combine(layers, scale, str(path))
        variables |= more
        tables = _insert(tables, changed)
    for name, value in (values or {}).items():
        if name not in variables:
            raise ConfigError("set", f"no variable is called {name!r}{suggest_name(name, variables)}", file=str(path))
        variables[name] = _convert(name, value, variables[name])
    filled = {name: _fill(table, variables) for name, table in tables.items() if not table.get("skip", False)}
    if not filled:
        raise ConfigError("", "a recipe needs at least one table named after a verb", file=str(path))
    return RecipeText(str(path), variables, filled)


def decode_steps(text: RecipeText) -> tuple[list[RecipeStep], list[ConfigError]]:
    """The steps, and everything that cannot be decoded."""
    steps, problems = [], []
    for name, table in text.tables.items():
        try:
            steps.append(_decode_step(name, dict(table), text.file))
        except ConfigError as error:
            problems.append(error)
    return steps, problems


def _decode_step(name: str, table: dict[str, Any], file: str) -> RecipeStep:
    verb = str(table.pop("verb", name))
    table.pop("skip", None)
    beside = table.pop("beside", False)
    if not isinstance(beside, bool):
        raise ConfigError(f"{name}.beside", f"want true or false, got {beside!r}", file=file)
    if verb not in verbs.VERBS:
        raise ConfigError(f"{name}.verb", f"no verb is called {verb!r}{suggest_name(verb, verbs.VERBS)}", file=file)
    config = decode(verbs.config_class(verbs.VERBS[verb]), table, file=file, prefix=name)
    return RecipeStep(name=name, verb=verb, config=config, beside=beside)


def _read_layers(path: Path) -> list[dict[str, Any]]:
    """The file and those it extends, the deepest first."""
    layers: list[dict[str, Any]] = []
    seen: set[Path] = set()
    at: Path | None = path
    while at is not None:
        if at.resolve() in seen:
            raise ConfigError("extends", f"{at} extends itself", file=str(path))
        seen.add(at.resolve())
        layer = dict(load_toml(at))
        under = layer.pop("extends", None)
        layers.insert(0, layer)
        at = at.parent / str(under) if under is not None else None
    return layers


def _combine(
    layers: list[dict[str, Any]], scale: str, file: str
) -> tuple[dict[str, _Scalar], dict[str, dict[str, Any]]]:
    """Variables and step tables of all layers; new steps of a later layer stand before those of an earlier one."""
    variables: dict[str, _Scalar] = {}
    tables: dict[str, dict[str, Any]] = {}
    for layer in layers:
        own: dict[str, dict[str, Any]] = {}
        for name, value in (_table(_table(layer.get("scale")).get(scale)) if scale else layer).items():
            if name == "scale" and not scale:
                continue
            if isinstance(value, dict):
                own[name] = value
            elif isinstance(value, str | int | float):
                variables[name] = value
            else:
                raise ConfigError(name, f"want a table named after a verb, or a variable, got {value!r}", file=file)
        fresh = {name: table for name, table in own.items() if name not in tables}
        tables = {**fresh, **merge(tables, {name: own[name] for name in own if name in tables})}
    return variables, tables


def _insert(tables: Mapping[str, dict[str, Any]], changed: Mapping[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """A scale's changes; a step that only the scale has stands first."""
    fresh = {name: table for name, table in changed.items() if name not in tables}
    return {**fresh, **merge(tables, {name: table for name, table in changed.items() if name in tables})}


def _convert(name: str, value: str, like: _Scalar) -> _Scalar:
    try:
        return type(like)(value) if not isinstance(like, bool) else value == "true"
    except ValueError:
        raise ConfigError(f"set.{name}", f"want a number such as {like}, got {value!r}") from None


def _table(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _fill(value: Any, variables: Mapping[str, _Scalar]) -> Any:
    """Names of variables in braces become their values; a text that is one name keeps the value's type."""
    if isinstance(value, dict):
        return {key: _fill(inner, variables) for key, inner in value.items()}
    if isinstance(value, list):
        return [_fill(inner, variables) for inner in value]
    if not isinstance(value, str):
        return value
    whole = _VARIABLE.fullmatch(value)
    if whole and whole[1] in variables:
        return variables[whole[1]]
    return _VARIABLE.sub(lambda match: str(variables.get(match[1], match[0])), value)
