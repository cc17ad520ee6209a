"""A C++ declaration taken apart: result, parameters, qualifiers. It reads plain functions, no templates."""

from __future__ import annotations

import re
from collections.abc import Set

from afs.types import Value

_ATTRIBUTE = re.compile(r"\[\[.*?\]\]|\b(?:__attribute__|__declspec|alignas)\s*\((?:[^()]|\([^()]*\))*\)")
_SPECIFIERS = frozenset({"virtual", "static", "inline", "constexpr", "explicit", "extern", "friend", "consteval"})
_CV = frozenset({"const", "volatile", "struct", "class", "enum", "typename", "union"})
_BUILT_IN = frozenset(
    {"void", "bool", "char", "short", "int", "long", "float", "double", "signed", "unsigned", "auto", "wchar_t"}
)
_NAMED = re.compile(r"^(?P<type>.*?[\s*&>])(?P<name>[A-Za-z_]\w*)\s*(?P<suffix>(?:\[[^\]]*\]\s*)*)$", re.S)
_POINTER = re.compile(r"^(?P<before>[^()]*\(\s*[*&]+\s*)(?P<name>\w*)(?P<after>\s*\)\s*\(.*)$", re.S)
_QUALIFIER = re.compile(r"(?:\b[A-Za-z_]\w*\s*::\s*)+$")
"""In front of a name that a declaration qualifies."""
_MARK = re.compile(r'"(?:\\.|[^"\\])*"|\'(?:\\.|[^\'\\])*\'|->|<=|>=|<<|[(\[{<>)\]},=]')


class CppParameter(Value, frozen=True, kw_only=True):
    """A parameter; of a pointer to a function or an array, `after` is what follows the name."""

    type: str
    name: str = ""
    after: str = ""
    is_optional: bool = False

    def declare(self, name: str = "") -> str:
        """As a declaration writes it."""
        space = "" if not name or self.after.startswith(")") else " "
        return f"{self.type}{space}{name}{self.after}"


class CppSignature(Value, frozen=True, kw_only=True):
    """What a declaration says."""

    result: str
    """Empty for a constructor."""
    name: str
    parameters: tuple[CppParameter, ...]
    is_static: bool = False
    is_const: bool = False
    is_variadic: bool = False
    reference: str = ""
    """`&` or `&&` behind the parameters of a member."""

    def list_types(self) -> str:
        """The parameters as a type writes them."""
        rows = [parameter.declare() for parameter in self.parameters] + ["..."] * self.is_variadic
        return ", ".join(rows)

    def takes(self, given: int) -> bool:
        """Whether it accepts this number of arguments."""
        least = sum(not parameter.is_optional for parameter in self.parameters)
        return least <= given and (self.is_variadic or given <= len(self.parameters))


def parse_signature(text: str, name: str, macros: Set[str] = frozenset()) -> CppSignature | None:
    """The parts of a declaration of `name`; None for templates, operators and what is not understood."""
    plain = " ".join(_ATTRIBUTE.sub(" ", text).split())
    found = re.search(rf"(?<![\w~]){re.escape(name)}\s*\(", plain)
    if found is None or plain.startswith("template") or "(" in _strip_macros(plain[: found.start()], macros):
        return None
    close = _find_close(plain, found.end() - 1)
    if close < 0:
        return None
    words = _QUALIFIER.sub("", _strip_macros(plain[: found.start()], macros)).split()
    result = " ".join(word for word in words if word not in _SPECIFIERS and word != '"C"').removesuffix("::").strip()
    tail = _strip_macros(plain[close + 1 :], macros).strip()
    if trailing := re.search(r"->\s*([^{;]+)", tail):
        result = trailing[1].strip()
    parameters = [one for one in split_items(plain[found.end() : close]) if one != "void"]
    is_variadic = bool(parameters) and parameters[-1] == "..."
    parsed = [_parse_parameter(one, macros) for one in parameters[: len(parameters) - is_variadic]]
    if "friend" in words or re.search(r"\bauto\b", result) or not all(one.type for one in parsed):
        return None
    reference = re.match(r"(?:const\s*)?(&{1,2})", tail)
    return CppSignature(
        result=result,
        name=name,
        parameters=tuple(parsed),
        is_static="static" in words,
        is_const=bool(re.match(r"const\b", tail)),
        is_variadic=is_variadic,
        reference=reference[1] if reference else "",
    )


def _strip_macros(text: str, macros: Set[str]) -> str:
    """Text without the macros a library decorates its declarations with."""
    return re.sub(
        r"\b([A-Za-z_]\w*)\b(\s*\([^()]*\))?",
        lambda match: " " if match[1] in macros else match[0],
        text,
    )


def _find_close(text: str, opening: int) -> int:
    """Where a parenthesis closes; -1 when it does not."""
    depth = 0
    for match in re.finditer(r'"(?:\\.|[^"\\])*"|\'(?:\\.|[^\'\\])*\'|[()]', text[opening:]):
        depth += (match[0] == "(") - (match[0] == ")")
        if depth == 0:
            return opening + match.start()
    return -1


def split_items(text: str, mark: str = ",") -> list[str]:
    """The items of a list, commas within brackets and strings left alone."""
    found: list[str] = []
    depth = begun = 0
    for match in _MARK.finditer(text):
        depth += (match[0] in "([{<") - (match[0] in ")]}>")
        if match[0] == mark and depth == 0:
            found.append(text[begun : match.start()].strip())
            begun = match.end()
    return [part for part in (*found, text[begun:].strip()) if part]


def _parse_parameter(text: str, macros: Set[str]) -> CppParameter:
    """One parameter; without a type when it is not understood."""
    declared, *default = split_items(text, "=")
    body = " ".join(_strip_macros(declared, macros).split())
    if pointer := _POINTER.match(body):
        return CppParameter(
            type=pointer["before"].strip(), name=pointer["name"], after=pointer["after"], is_optional=bool(default)
        )
    named = _NAMED.match(body)
    if named and named["name"] not in _BUILT_IN | _CV and set(_words(named["type"])) - _CV:
        kind, name, after = named["type"].strip(), named["name"], named["suffix"].strip()
    else:
        kind, name, after = body, "", ""
    kind = "" if "(" in kind or kind == "..." or re.search(r"\bauto\b", kind) else kind
    return CppParameter(type=kind, name=name, after=after, is_optional=bool(default))


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text)
