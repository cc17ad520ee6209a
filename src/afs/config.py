"""A config is one struct with three faces: a TOML table, command-line flags, and help text.

Precedence: default in the struct < file < flag. Every problem is one line that names the file, the field, the
value given, the type wanted and the nearest valid name. The only module that uses `Any`: it reads untyped input.
"""

from __future__ import annotations

import difflib
import itertools
import json
import re
import tomllib
import types as python_types
import typing
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Annotated, Any, ClassVar, NamedTuple, TypeVar, cast

import msgspec

from afs.command_options import OptionList
from afs.errors import ConfigError, DataError
from afs.types import Value, digest

C = TypeVar("C", bound=msgspec.Struct)

Fraction = Annotated[float, msgspec.Meta(ge=0.0, le=1.0)]
"""A number from 0 to 1."""
Weight = Annotated[float, msgspec.Meta(ge=0.0)]
Count = Annotated[int, msgspec.Meta(ge=0)]
Positive = Annotated[int, msgspec.Meta(ge=1)]
Plugin = dict[str, Any]
"""`{use = "name", …options}`: a plug-in's name and its own options, decoded by `decode_options()`."""


class Config(Value, frozen=True, forbid_unknown_fields=True, omit_defaults=False):
    """Base of every config; subclasses are declared `kw_only=True`."""

    positional: ClassVar[tuple[str, ...]] = ()
    """Fields that may be given without a flag, in this order; a tuple field takes all that is left."""
    short: ClassVar[Mapping[str, str]] = {}
    """One-letter flags: letter -> field."""
    workspace_field: ClassVar[str] = ""
    """The field that `--workspace` sets, of verbs that create a workspace."""
    described_in: ClassVar[type | None] = None
    """The class whose source documents the fields, where that is another one."""

    def late_needs(self) -> Iterator[tuple[str, str]]:
        """What is loaded only after the work began: (kind, plug-in), ("target", `module:name`), ("package", name).

        It is loaded before the work begins too, so that a missing extra is an error at once.
        """
        return iter(())


def config_class(name: str, options: OptionList) -> type[Config]:
    """The config class of a command whose options are a NamedTuple."""
    own = {"positional": options.positional, "short": options.short, "described_in": options.fields}
    return _class_like(name, options.fields, Config, own)


def result_class(name: str, fields: type[tuple[object, ...]]) -> type[Value]:
    """The value that JSON shows of a result that is a NamedTuple with `text()`."""
    return _class_like(name, fields, Value, {"text": vars(fields)["text"]})


def _class_like(name: str, table: type[tuple[object, ...]], base: type[C], own: dict[str, Any]) -> type[C]:
    hints, defaults = typing.get_type_hints(table), vars(table)["_field_defaults"]
    rows = [(field, kind, defaults[field]) if field in defaults else (field, kind) for field, kind in hints.items()]
    made = msgspec.defstruct(name, rows, bases=(base,), namespace=own, frozen=True, kw_only=True)
    made.__doc__ = table.__doc__
    return cast("type[C]", made)


class Field(NamedTuple):
    """One option, as help, flags and the reference page describe it."""

    name: str
    type: Any
    type_text: str
    default: str
    required: bool
    owner: type
    """The config class."""

    @property
    def doc(self) -> str:
        """Its documentation, read from the source of the class; a name that is a keyword has an underscore there."""
        docs = field_docs(self.owner)
        return docs.get(self.name) or docs.get(f"{self.name}_", "")


def config_digest(config: msgspec.Struct) -> str:
    """Digest of a config's values: equal configs, equal digest."""
    return digest(to_table(config))


def to_table(config: msgspec.Struct) -> dict[str, Any]:
    """The config as plain tables, as it is written to `config.json`."""
    return cast(dict[str, Any], msgspec.to_builtins(config, enc_hook=str))


def fields(cls: type[msgspec.Struct]) -> tuple[Field, ...]:
    """Every field of a config class; positional ones first, inherited ones last."""
    places: tuple[str, ...] = getattr(cls, "positional", ())
    own = cls.__annotations__
    found = []
    for field in msgspec.structs.fields(cls):
        default: Any = field.default if field.default is not msgspec.NODEFAULT else None
        if field.default_factory is not msgspec.NODEFAULT:
            default = cast(Any, field.default_factory)()
        text = "" if field.required else _value_text(default)
        found.append(Field(field.encode_name, field.type, type_text(field.type), text, field.required, cls))

    def rank(field: Field) -> tuple[int, bool]:
        return (places.index(field.name) if field.name in places else len(places), field.name not in own)

    return tuple(sorted(found, key=rank))


@cache
def field_docs(cls: type) -> dict[str, str]:
    """The docstring below each field in the class's source, base classes included."""
    import ast  # for help only: slow to import for a command that runs
    import inspect

    found: dict[str, str] = {}
    for base in (*reversed(cls.__mro__), getattr(cls, "described_in", None) or cls):
        if base.__module__ in ("builtins", "msgspec", "abc") or not issubclass(base, msgspec.Struct | tuple):
            continue
        try:
            body = cast(ast.ClassDef, ast.parse(inspect.cleandoc("\n" + inspect.getsource(base))).body[0]).body
        except (OSError, TypeError, SyntaxError, AttributeError):
            continue
        for field, doc in itertools.pairwise(body):
            if (
                isinstance(field, ast.AnnAssign)
                and isinstance(field.target, ast.Name)
                and isinstance(doc, ast.Expr)
                and isinstance(doc.value, ast.Constant)
                and isinstance(doc.value.value, str)
            ):
                found[field.target.id] = inspect.cleandoc(doc.value.value)
    return found


def _value_text(value: Any) -> str:
    if isinstance(value, msgspec.Struct):
        value = to_table(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple | list):
        return "[" + ", ".join(_value_text(item) for item in value) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {_value_text(item)}" for key, item in value.items()) + "}"
    return "none" if value is None else json.dumps(value, ensure_ascii=False) if isinstance(value, str) else str(value)


def type_text(kind: Any) -> str:
    """How a type is named in help: int, text, one of …, list of …, table."""
    kind, optional = _without_none(kind)
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Annotated:
        return type_text(args[0])
    if origin is typing.Literal:
        text = "one of " + ", ".join(str(a) for a in args)
    elif origin in (tuple, list, frozenset):
        text = f"list of {type_text(args[0])}"
    elif origin is dict or kind is dict or (isinstance(kind, type) and issubclass(kind, msgspec.Struct)):
        text = "table"
    else:
        text = {str: "text", int: "int", float: "number", bool: "true/false", Path: "path"}.get(kind, str(kind))
    return text + (" or none" if optional else "")


def _without_none(kind: Any) -> tuple[Any, bool]:
    if typing.get_origin(kind) in (typing.Union, python_types.UnionType):
        rest = [arg for arg in typing.get_args(kind) if arg is not type(None)]
        if len(rest) == 1:
            return rest[0], True
    return kind, False


def decode(cls: type[C], values: Mapping[str, Any], *, file: str = "", prefix: str = "") -> C:
    """Validate a table into its config class."""
    try:
        return msgspec.convert(values, cls, strict=True, dec_hook=_convert_path)
    except msgspec.ValidationError as error:
        raise _readable(error, cls, values, file, prefix) from error


def validate(config: C) -> C:
    """The same config with its values checked: a struct made by a Python call is not, one that was decoded is."""
    return decode(type(config), to_table(config))


def _convert_path(kind: Any, value: Any) -> Any:
    if kind is Path and isinstance(value, str):
        return Path(value)
    if kind is object or (kind is Path and isinstance(value, Path)):
        return value
    raise msgspec.ValidationError(f"Expected `{type_text(kind)}`, got `{type(value).__name__}`")


_PATH = re.compile(r"^(?P<what>.*?)(?: - at `\$(?P<path>[^`]*)`)?$", re.S)


def _readable(error: Exception, cls: type, values: Any, file: str, prefix: str) -> ConfigError:
    match = _PATH.match(str(error))
    assert match is not None
    path, what = (match["path"] or "").lstrip("."), match["what"]
    field = ".".join(part for part in (prefix, path) if part)
    if unknown := re.match(r"Object contains unknown field `(.*)`", what):
        holder = _class_at(cls, path)
        known = [f.encode_name for f in msgspec.structs.fields(holder)] if holder else []
        return ConfigError(f"{field}.{unknown[1]}".lstrip("."), f"unknown field{_hint(unknown[1], known)}", file=file)
    if missing := re.match(r"Object missing required field `(.*)`", what):
        holder = _class_at(cls, path)
        kinds = {f.encode_name: f.type for f in msgspec.structs.fields(holder)} if holder else {}
        kind = kinds.get(missing[1])
        return ConfigError(f"{field}.{missing[1]}".lstrip("."), f"missing; want {type_text(kind)}", file=file)
    got = _value_at(values, path)
    wanted = re.sub(r", got .*$", "", re.sub(r"^Expected ", "", what)).replace("`", "")
    wanted = wanted.replace("str", "text").replace("array", "list").replace("object", "table")
    if what.startswith("Invalid enum value"):
        kind = _type_at(cls, path)
        options = [str(a) for a in typing.get_args(_without_none(kind)[0])]
        return ConfigError(
            field, f"want {type_text(kind)}, got {got!r}{_hint(str(got), options, listing=False)}", file=file
        )
    return ConfigError(field or prefix or "config", f"want {wanted}, got {got!r}", file=file)


def _hint(name: str, known: Sequence[str], *, listing: bool = True) -> str:
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; there are: {', '.join(known)}" if listing and known else ""


def _steps(path: str) -> list[str]:
    return [step for step in re.split(r"\.|(?=\[)", path) if step]


def _type_at(cls: Any, path: str) -> Any:
    kind: Any = cls
    for step in _steps(path):
        kind, _ = _without_none(kind)
        if step.startswith("["):
            args = typing.get_args(kind)
            kind = args[-1 if typing.get_origin(kind) is dict else 0] if args else None
        elif isinstance(kind, type) and issubclass(kind, msgspec.Struct):
            kind = next((f.type for f in msgspec.structs.fields(kind) if f.encode_name == step), None)
        else:
            return None
    return _without_none(kind)[0]


def _class_at(cls: Any, path: str) -> type[msgspec.Struct] | None:
    kind = _type_at(cls, path)
    return kind if isinstance(kind, type) and issubclass(kind, msgspec.Struct) else None


def _value_at(values: Any, path: str) -> Any:
    for step in _steps(path):
        try:
            values = values[int(step[1:-1])] if step.startswith("[") and step != "[...]" else values[step.strip("[]")]
        except (KeyError, IndexError, ValueError, TypeError):
            return values
    return values


def shipped_recipe(path: Path) -> Path:
    """The file itself; where `recipes/…` is not in this folder, the one that came with afs."""
    if path.parts[:1] != ("recipes",) or path.exists():
        return path
    package = Path(__file__).parent
    return next((found for home in (package, package.parents[1]) if (found := home / path).is_file()), path)


def load_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file; an error names its line."""
    try:
        return tomllib.loads(shipped_recipe(path).read_bytes().decode("utf-8"))
    except FileNotFoundError as error:
        raise ConfigError("", "no such file", file=str(path)) from error
    except UnicodeDecodeError as error:
        raise ConfigError("", f"not UTF-8 (byte {error.start})", file=str(path)) from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError("", f"not TOML: {error}", file=str(path)) from error
    except (OSError, RecursionError) as error:
        raise ConfigError("", f"cannot be read: {error}", file=str(path)) from error


def decode_options(cls: type[C], spec: Mapping[str, Any], *, prefix: str) -> C:
    """Decode the options of a `{use = …}` table into the plug-in's own struct."""
    return decode(cls, {key: value for key, value in spec.items() if key != "use"}, prefix=prefix)


def parse_flag(cls: type[msgspec.Struct], name: str, texts: Sequence[str]) -> tuple[list[str], Any]:
    """(path of the field, value) for a flag `name` (dots or dashes) given with these texts."""
    path = [part.replace("-", "_") for part in name.split(".")]
    kind = _type_at(cls, ".".join(path))
    if kind is None:
        holder = _class_at(cls, ".".join(path[:-1])) or cls
        known = [f.encode_name for f in msgspec.structs.fields(holder)]
        raise ConfigError(f"--{name}", f"unknown option{_hint(path[-1], known)}")
    try:
        return path, _from_text(kind, texts)
    except (msgspec.ValidationError, ValueError, DataError) as error:
        raise ConfigError(f"--{name}", f"want {type_text(kind)}, got {', '.join(map(repr, texts))}") from error


def _from_text(kind: Any, texts: Sequence[str]) -> Any:
    kind, optional = _without_none(kind)
    last = texts[-1]
    if optional and last == "none":
        return None
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Annotated:
        return _from_text(args[0], texts)
    if origin in (tuple, list, frozenset):
        if last.lstrip().startswith("["):
            return [item for text in texts for item in tomllib.loads(f"value = {text}")["value"]]
        items = [part for text in texts for part in ([text] if args[0] in (Path,) or "{" in text else text.split(","))]
        return [_from_text(args[0], [item]) for item in items if item]
    if origin is dict or kind is dict or (isinstance(kind, type) and issubclass(kind, msgspec.Struct)):
        return _pairs_from_text(texts) if args == (str, str) else _table_from_text(texts)
    if kind is Path:
        return Path(last)
    if kind is int and last.lower().startswith("0x"):
        return int(last, 16)
    return msgspec.convert(last, kind, strict=False)


def _pairs_from_text(texts: Sequence[str]) -> dict[str, str]:
    """A text-to-text table takes its values literally: `name=value`, or `name` alone."""
    if any(text.lstrip().startswith("{") for text in texts):
        return _table_from_text(texts)
    return {key: value for key, _, value in (text.partition("=") for text in texts)}


def _table_from_text(texts: Sequence[str]) -> dict[str, Any]:
    table: dict[str, Any] = {}
    for text in texts:
        if text.lstrip().startswith("{"):
            table |= tomllib.loads(f"value = {text}")["value"]
            continue
        key, equals, value = text.partition("=")
        if not equals:
            raise ValueError(f"want name=value, got {text!r}")
        try:
            table[key] = tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            table[key] = value
    return table


def merge(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`over` merged into `under`, table by table; `over` wins."""
    merged = dict(under)
    for key, value in over.items():
        below = merged.get(key)
        merged[key] = merge(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return merged


def defaults_under(cls: type[msgspec.Struct], flags: Mapping[str, Any]) -> dict[str, Any]:
    """Defaults of tables that flags set in part: `--sampling.seed 1` keeps the other fields of `sampling`."""
    found = {}
    for field in msgspec.structs.fields(cls):
        if isinstance(field.default, msgspec.Struct) and isinstance(flags.get(field.name), dict):
            found[field.name] = to_table(field.default)
    return found


def flag_table(cls: type[msgspec.Struct], flags: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Command-line flags as a config table."""
    table: dict[str, Any] = {}
    for name, texts in flags.items():
        path, value = parse_flag(cls, name, texts)
        nested: Any = value
        for part in reversed(path):
            nested = {part: nested}
        table = merge(table, nested)
    return table
