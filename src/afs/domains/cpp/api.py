"""What headers declare: functions with their parts and comments, and the names of types by their scope."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping, Sequence, Set
from typing import Literal

from afs.domains.cpp.signature import CppSignature, parse_signature
from afs.domains.repository_snapshot import load_files
from afs.source_code import cpp_functions, function_scanner
from afs.source_code.cpp_blocks import without_directives
from afs.types import Value

_TEMPLATE = re.compile(r"\btemplate\s*<")
_DEFINED = re.compile(r"^[ \t]*#[ \t]*define[ \t]+([A-Za-z_]\w*)", re.M)
_TYPE = re.compile(
    r"\b(?:class|struct|union|enum(?:\s+(?:class|struct))?)\s+(?:\[\[[^\]]*\]\]\s*|[A-Z_][A-Z0-9_]*\s+)*"
    r"(?P<type>[A-Za-z_]\w*)\s*(?:final\s*)?(?=[:{;])"
    r"|\busing\s+(?P<alias>[A-Za-z_]\w*)\s*="
    r"|\btypedef\b[^;{}]*?\b(?P<old>[A-Za-z_]\w*)\s*(?:\[[^\]]*\]\s*)?;"
    r"|\btypedef\b[^;{}]*?\(\s*\*\s*(?P<pointer>[A-Za-z_]\w*)\s*\)[^;{}]*;"
)
_OPENS = re.compile(
    r"(?:namespace\s+(?P<space>[\w:]+)|(?:class|struct|union)\s+(?:\[\[[^\]]*\]\]\s*|[A-Z_][A-Z0-9_]*\s+)*"
    r"(?P<type>[A-Za-z_]\w*)\s*(?:final\s*)?(?::[^:][^{};]*)?)\s*$"
)
_MACRO = re.compile(r"^(?:[A-Z_][A-Z0-9_]{2,}|__\w+)$")

Kind = Literal["free", "static", "method", "constructor"]


class ApiFunction(Value, frozen=True, kw_only=True):
    """A public function of a library."""

    name: str
    """Qualified."""
    scope: str
    header: str
    line: int
    declaration: str
    doc: str
    kind: Kind
    signature: CppSignature

    @property
    def short(self) -> str:
        """The last part of its name."""
        return self.name.rpartition("::")[2]


class LibraryApi(Value, frozen=True, kw_only=True):
    """What the headers of a library declare."""

    functions: tuple[ApiFunction, ...]
    types: dict[str, tuple[str, ...]]
    """Short name -> qualified names."""
    left_out: dict[str, int]
    """Why public functions are in no task -> how many."""

    def qualify(self, text: str, scope: str) -> str:
        """A type with its names written as they are called from outside."""

        def replace(match: re.Match[str]) -> str:
            known = self.types.get(match[0], ())
            if text[: match.start()].rstrip().endswith("::") or not known:
                return match[0]
            candidates = (*(f"{one}::{match[0]}" for one in _list_scopes(scope)), match[0])
            inherited = f"{scope}::{match[0]}" if scope in self.types.get(scope.rpartition("::")[2], ()) else match[0]
            return next((full for full in candidates if full in known), inherited)

        return re.sub(r"[A-Za-z_]\w*", replace, text)


def _list_scopes(scope: str) -> Iterator[str]:
    """A scope and those around it."""
    while scope:
        yield scope
        scope = scope.rpartition("::")[0]


def read_api(files: Mapping[str, bytes], headers: Sequence[str], namespaces: Sequence[str] = ()) -> LibraryApi:
    """The public functions of some headers; types are read from all files."""
    texts = {path: content.decode("utf-8", "replace") for path, content in files.items()}
    macros = frozenset(name for text in texts.values() for name in _DEFINED.findall(text) if _MACRO.match(name))
    types: dict[str, set[str]] = {}
    templates: set[str] = set()
    for name, is_template in (row for text in texts.values() for row in _find_types(text)):
        types.setdefault(name.rpartition("::")[2], set()).add(name)
        templates |= {name} if is_template else set()
    left: dict[str, int] = {}
    found: dict[tuple[str, str], ApiFunction] = {}
    for path in headers:
        for function in cpp_functions.find_functions(texts[path]):
            if function.access not in ("", "public") or (not function.access and function.wanted.member):
                continue
            if not _is_within(function.name, namespaces):
                continue
            built = _build(function, path, macros, templates)
            if isinstance(built, str):
                left[built] = left.get(built, 0) + 1
            else:
                found.setdefault((built.name, built.signature.list_types() + str(built.signature.is_const)), built)
    return LibraryApi(
        functions=tuple(found.values()),
        types={name: tuple(sorted(full)) for name, full in sorted(types.items())},
        left_out=left,
    )


@functools.lru_cache(maxsize=8)
def load_names(snapshot: str) -> frozenset[str]:
    """Every identifier in the headers of a stored snapshot."""
    texts = (content.decode("utf-8", "replace") for content in (load_files(snapshot) or {}).values())
    return frozenset(name for text in texts for name in re.findall(r"[A-Za-z_]\w{2,}", text))


def _is_within(name: str, namespaces: Sequence[str]) -> bool:
    return not namespaces or any(name.startswith(f"{space}::") for space in namespaces)


def _build(
    function: cpp_functions.CppFunction, path: str, macros: frozenset[str], templates: Set[str]
) -> ApiFunction | str:
    """The function, or why it is in no task."""
    scope, _, short = function.name.rpartition("::")
    if "operator" in short or short.startswith("~"):
        return "operators and destructors"
    if _TEMPLATE.search(function.signature) or any(one in templates for one in _list_scopes(scope)):
        return "templates and their members"
    if re.search(r"=\s*delete\s*;?$", function.signature) or short in macros:
        return "deleted, or macros"
    signature = parse_signature(function.signature, short, macros)
    if signature is None or signature.reference == "&&":
        return "not understood"
    is_constructor = bool(function.access) and short == scope.rpartition("::")[2]
    if not signature.result and not is_constructor:
        return "not understood"
    kind: Kind = "free"
    if function.access:
        kind = "constructor" if is_constructor else "static" if signature.is_static else "method"
    return ApiFunction(
        name=function.name,
        scope=scope,
        header=path,
        line=function.line,
        declaration=function.signature,
        doc=function.doc,
        kind=kind,
        signature=signature,
    )


def _find_types(text: str) -> Iterator[tuple[str, bool]]:
    """The qualified names of the types a header declares, and which of them are templates."""
    plain = without_directives(function_scanner.blank_noise(text, "cpp"))
    scopes: list[tuple[str, ...]] = [()]
    at = 0
    for match in re.finditer(r"[{}]", plain):
        piece = plain[at : match.start() + 1]
        where = "::".join(scopes[-1])
        for found in _TYPE.finditer(piece):
            name = next(group for group in found.groups() if group)
            before = re.split(r"[;{}]", piece[: found.start()])[-1]
            if not re.search(r"\bfriend\b", before):
                yield "::".join(part for part in (where, name) if part), bool(_TEMPLATE.search(before))
        if match[0] == "{":
            head = re.split(r"[;}]", piece[:-1])[-1]
            opened = _OPENS.search(head[-400:])
            named = (opened["space"] or opened["type"]) if opened else ""
            scopes.append((*scopes[-1], *named.split("::")) if named else scopes[-1])
            if opened and opened["space"]:
                yield "::".join(scopes[-1]), False
        elif len(scopes) > 1:
            scopes.pop()
        at = match.end()
