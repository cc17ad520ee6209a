"""JSON Schema: what is wrong with a value. The keywords below; any other one is refused when the schema is read."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Final, cast

import re2

from afs.errors import ConfigError
from afs.types import Json

_TYPES: Final[Mapping[str, Callable[[object], bool]]] = {
    "object": lambda v: isinstance(v, dict),
    "array": lambda v: isinstance(v, list),
    "string": lambda v: isinstance(v, str),
    "boolean": lambda v: isinstance(v, bool),
    "null": lambda v: v is None,
    "number": lambda v: isinstance(v, int | float) and not isinstance(v, bool),
    "integer": lambda v: isinstance(v, int | float) and not isinstance(v, bool) and float(v).is_integer(),
}
_NOTES: Final = frozenset(
    {"$schema", "$id", "$defs", "definitions", "title", "description", "default", "examples", "$comment", "format"}
)
"""What says nothing about validity; `format` is a note by the standard's default."""
_MOST: Final = 20
"""Deepest chain of references: a schema that refers to itself without end is cut there."""
_RULES: Final = frozenset(
    {
        *("type", "enum", "const", "properties", "required", "additionalProperties", "items", "minItems", "maxItems"),
        *("uniqueItems", "minLength", "maxLength", "pattern", "minimum", "maximum", "exclusiveMinimum", "not"),
        *("exclusiveMaximum", "multipleOf", "anyOf", "oneOf", "allOf", "$ref", "minProperties", "maxProperties"),
    }
)


def refuse_unknown_keywords(schema: object, place: str = "schema") -> None:
    """Raise for a keyword that would be ignored: a schema must mean what it says."""
    if isinstance(schema, bool):
        return
    if not isinstance(schema, dict):
        raise ConfigError(place, f"want a JSON schema, got {schema!r}")
    for key, value in schema.items():
        here = f"{place}.{key}"
        if key not in _RULES and key not in _NOTES:
            raise ConfigError(here, "this keyword of JSON Schema is not known here", hint="use a Python function")
        if key in ("properties", "$defs", "definitions"):
            for name, part in _table(value).items():
                refuse_unknown_keywords(part, f"{here}.{name}")
        elif key in ("anyOf", "oneOf", "allOf"):
            for number, part in enumerate(cast(list[object], value)):
                refuse_unknown_keywords(part, f"{here}[{number}]")
        elif key in ("items", "additionalProperties", "not"):
            refuse_unknown_keywords(value, here)


def list_problems(value: object, schema: object, root: Json, place: str = "$", depth: int = 0) -> Iterator[str]:
    """Everything that is wrong with a value, each with its place."""
    if isinstance(schema, bool):
        if not schema:
            yield f"{place}: nothing is allowed here"
        return
    rules = _table(schema)
    if "$ref" in rules and depth < _MOST:
        yield from list_problems(value, _find(root, str(rules["$ref"])), root, place, depth + 1)
    yield from _plain_problems(value, rules, place)
    yield from _combined_problems(value, rules, root, place, depth)
    if isinstance(value, dict):
        yield from _object_problems(value, rules, root, place, depth)
    elif isinstance(value, list):
        yield from _array_problems(value, rules, root, place, depth)


def _table(value: object) -> Json:
    return value if isinstance(value, dict) else {}


def _find(root: Json, ref: str) -> object:
    found: object = root
    for part in ref.removeprefix("#").strip("/").split("/") if ref != "#" else ():
        found = _table(found).get(part.replace("~1", "/").replace("~0", "~"))
    if not ref.startswith("#") or found is None:
        raise ConfigError("schema", f"the reference {ref!r} leads nowhere in the schema")
    return found


def _equal(one: object, other: object) -> bool:
    """Equal as JSON: true is not 1."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    return one == other


def _plain_problems(value: object, rules: Json, place: str) -> Iterator[str]:
    kinds = rules.get("type")
    if kinds is not None:
        names = kinds if isinstance(kinds, list) else [kinds]
        if not any(str(name) in _TYPES and _TYPES[str(name)](value) for name in names):
            yield f"{place}: want {' or '.join(map(str, names))}, got {str(value)[:60]!r}"
    if "enum" in rules and not any(_equal(value, one) for one in cast(list[object], rules["enum"])):
        yield f"{place}: {str(value)[:60]!r} is none of the allowed values"
    if "const" in rules and not _equal(value, rules["const"]):
        yield f"{place}: want {rules['const']!r}"
    if isinstance(value, str):
        yield from _bounds(len(value), rules, ("minLength", "maxLength"), f"{place}: length")
        if "pattern" in rules and not re2.search(str(rules["pattern"]), value):
            yield f"{place}: does not match {rules['pattern']!r}"
    if _TYPES["number"](value):
        yield from _number_problems(cast(float, value), rules, place)


def _number_problems(value: float, rules: Json, place: str) -> Iterator[str]:
    yield from _bounds(value, rules, ("minimum", "maximum"), place)
    low, high, step = (rules.get(name) for name in ("exclusiveMinimum", "exclusiveMaximum", "multipleOf"))
    if isinstance(low, int | float) and value <= low:
        yield f"{place}: want more than {low}"
    if isinstance(high, int | float) and value >= high:
        yield f"{place}: want less than {high}"
    if isinstance(step, int | float) and not math.isclose(value / step, round(value / step), abs_tol=1e-9):
        yield f"{place}: want a multiple of {step}"


def _bounds(value: float, rules: Json, names: tuple[str, str], place: str) -> Iterator[str]:
    low, high = rules.get(names[0]), rules.get(names[1])
    if isinstance(low, int | float) and value < low:
        yield f"{place} {value} is below {low}"
    if isinstance(high, int | float) and value > high:
        yield f"{place} {value} is above {high}"


def _combined_problems(value: object, rules: Json, root: Json, place: str, depth: int) -> Iterator[str]:
    def fits(part: object) -> bool:
        return next(list_problems(value, part, root, place, depth + 1), None) is None

    for part in cast(list[object], rules.get("allOf", [])):
        yield from list_problems(value, part, root, place, depth + 1)
    if "anyOf" in rules and not any(map(fits, cast(list[object], rules["anyOf"]))):
        yield f"{place}: fits none of the alternatives"
    if "oneOf" in rules and (count := sum(map(fits, cast(list[object], rules["oneOf"])))) != 1:
        yield f"{place}: fits {count} of the alternatives, want exactly one"
    if "not" in rules and fits(rules["not"]):
        yield f"{place}: fits what it must not"


def _object_problems(value: Json, rules: Json, root: Json, place: str, depth: int) -> Iterator[str]:
    yield from (
        f"{place}: {name!r} is missing" for name in cast(list[str], rules.get("required", [])) if name not in value
    )
    yield from _bounds(len(value), rules, ("minProperties", "maxProperties"), f"{place}: number of fields")
    known = _table(rules.get("properties"))
    for name, one in value.items():
        if name in known:
            yield from list_problems(one, known[name], root, f"{place}.{name}", depth)
        elif rules.get("additionalProperties") is False:
            yield f"{place}: {name!r} is not a field of the schema"
        elif "additionalProperties" in rules:
            yield from list_problems(one, rules["additionalProperties"], root, f"{place}.{name}", depth)


def _array_problems(value: list[object], rules: Json, root: Json, place: str, depth: int) -> Iterator[str]:
    yield from _bounds(len(value), rules, ("minItems", "maxItems"), f"{place}: number of items")
    if rules.get("uniqueItems") and any(_equal(a, b) for at, a in enumerate(value) for b in value[:at]):
        yield f"{place}: items are not unique"
    if "items" in rules:
        for number, one in enumerate(value):
            yield from list_problems(one, rules["items"], root, f"{place}[{number}]", depth)
