"""Rows as Parquet for Hugging Face's `datasets`: nested values are JSON columns, which it gives back as objects.

A column of structs would give every call the arguments of all tools, empty where it has none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import msgspec

from afs import plugins
from afs.types import Json

_TURN = ("role", "content", "reasoning_content", "tool_call_id", "name")
_TEXT: Json = {"dtype": "string", "_type": "Value"}
_JSON: Json = {"_type": "Json"}


class _CastableTable(Protocol):
    def cast(self, schema: object) -> object: ...


class _TableType(Protocol):
    def from_pylist(self, rows: Sequence[Json]) -> _CastableTable: ...


class _Types(NamedTuple):
    """pyarrow's makers of types."""

    text: object
    json: object
    list_of: Callable[[object], object]
    struct: Callable[[Sequence[tuple[str, object]]], object]


def write_parquet(rows: Iterator[Json], path: Path) -> int:
    """Write the rows with the features they have; the number of them."""
    table = plugins.Late[_TableType]("pyarrow:Table").load()
    make_schema = plugins.Late[Callable[[Sequence[tuple[str, object]], dict[str, str]], object]](
        "pyarrow:schema"
    ).load()
    types = _load_types()
    write = plugins.Late[Callable[[object, Path], None]]("pyarrow.parquet:write_table").load()
    path.parent.mkdir(parents=True, exist_ok=True)
    found = list(rows)
    if not found:
        return 0
    nested = {key for row in found for key, value in row.items() if not isinstance(value, str)} - {"messages"}
    flat = [{key: _flatten(key, value, nested) for key, value in row.items()} for row in found]
    keys = list(flat[0])
    metadata = msgspec.json.encode({"info": {"features": {key: _feature(key, nested) for key in keys}}}).decode()
    schema = make_schema([(key, _type_of(key, nested, types)) for key in keys], {"huggingface": metadata})
    write(table.from_pylist(flat).cast(schema), path)
    return len(flat)


def _flatten(key: str, value: object, nested: set[str]) -> object:
    if key == "messages" and isinstance(value, list):
        return [
            {name: turn.get(name, "") for name in _TURN}
            | {"tool_calls": msgspec.json.encode(turn["tool_calls"]).decode() if "tool_calls" in turn else None}
            for turn in value
        ]
    return msgspec.json.encode(value).decode() if key in nested else value


def _feature(key: str, nested: set[str]) -> Json:
    if key == "messages":
        return {"feature": {**dict.fromkeys(_TURN, _TEXT), "tool_calls": _JSON}, "_type": "List"}
    return _JSON if key in nested else _TEXT


def _load_types() -> _Types:
    maker = plugins.Late[Callable[[], object]]
    return _Types(
        maker("pyarrow:string").load()(),
        maker("pyarrow:json_").load()(),
        plugins.Late[Callable[[object], object]]("pyarrow:list_").load(),
        plugins.Late[Callable[[Sequence[tuple[str, object]]], object]]("pyarrow:struct").load(),
    )


def _type_of(key: str, nested: set[str], types: _Types) -> object:
    if key == "messages":
        turn = [*((name, types.text) for name in _TURN), ("tool_calls", types.json)]
        return types.list_of(types.struct(turn))
    return types.json if key in nested else types.text
