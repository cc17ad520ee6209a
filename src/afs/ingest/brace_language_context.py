"""What a question about a function of a language with braces must carry: its owner, its head, what it uses of the file.

Read from the text: a line outside of all functions that declares a name the body uses, and the heads of the functions
it calls. What a file includes from elsewhere is named, not shown.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from afs.source_code.function_scanner import ScannedFunction

_MOST_LINES = 16
_LONGEST = 160
_IDENTIFIER = re.compile(r"[A-Za-z_$][\w$]{2,}")
_OWNER = re.compile(
    r"^[ \t]*(?:(?:export|public|private|protected|internal|abstract|final|sealed|static|default"
    r"|pub(?:\([^)]*\))?|unsafe)[ \t]+)*"
    r"(?P<head>(?:class|struct|impl|interface|trait|enum|module|record|object)\b[^;{]*)\{?\s*$"
)
_IMPORT = re.compile(r"^\s*(?:#\s*include|import|use|using|from|require|(?:const|let|var)\b.*=\s*require)\b.*$")
_CONSTANT = re.compile(
    r"^\s*(?:(?:export|pub|public|private|protected|static|const|constexpr|final|readonly|volatile|mutable|inline|let"
    r"|var|type|#\s*define)\b|[A-Za-z_][\w:<>,*&\[\] ]*[ \t*&][A-Za-z_]\w*\s*(?:=|;|\{))"
)
_FIELD = re.compile(
    r"^\s+(?:(?:pub(?:\([^)]*\))?|public|private|protected|readonly|static)\s+)*(?P<a>[a-z_]\w*)\??\s*:\s*[^:(]"
    r"|^\s+(?:[\w:<>,*&\[\] ]+[ *&>])(?P<b>[A-Za-z_]\w*)\s*(?:\[[^\]]*\])?\s*(?:=[^=].*|GUARDED_BY.*|\{[^}]*\})?;"
)


_INITIALIZERS = re.compile(r"\)\s*(?:noexcept\s*)?:(?!:)\s*\w+[({].*\Z", re.S)
"""What a constructor of C++ sets before its body."""


_PROJECT_NAME = {
    "cpp": re.compile(r"\bk[A-Z]\w+|\b[a-z]\w*_\b(?!\()|(?<=[a-z]::)[A-Z]\w*[a-z]\w*(?=\()"),
    "rust": re.compile(r"\b[A-Z][A-Z0-9]+_[A-Z0-9_]+\b"),
}
"""Constants, members and static functions of a project, by the custom of its language."""


class SourceFile(NamedTuple):
    """A file's lines and the functions in it."""

    lines: Sequence[str]
    functions: Sequence[ScannedFunction]
    outside: Sequence[int]
    """Numbers of the lines that belong to no function, from 0."""


def open_file(text: str, functions: Sequence[ScannedFunction]) -> SourceFile:
    """A file as its questions need it."""
    inside = {number for found in functions for number in range(found.first - 1, found.last)}
    lines = text.split("\n")
    return SourceFile(lines, functions, [number for number in range(len(lines)) if number not in inside])


def describe_context(found: ScannedFunction, source: SourceFile) -> str:
    """The lines of a file that a function refers to, ending with the head that is to be written."""
    used = set(_IDENTIFIER.findall(found.code))
    owner = find_owner(found, source)
    place, kind = _name_owner(owner, found)
    fields = list(dict.fromkeys(_list_fields(place, source, used)))
    lines = [*_list_declarations(found, source, used), *_list_heads(found, source, used)]
    lines = list(dict.fromkeys(lines))[:_MOST_LINES]
    head = head_of(found.code).splitlines()
    if fields and owner and kind == "class":
        return "\n".join([*lines, f"{owner} {{", *_indent([*fields[:_MOST_LINES], *head])])
    block = [f"{kind or 'struct'} {place} {{", *_indent(fields[:_MOST_LINES]), "}"] if fields else []
    ends = [f"{owner} {{", *_indent(head)] if owner else head
    return "\n".join([*lines, *block, *ends])


def _indent(lines: Sequence[str]) -> list[str]:
    return [f"    {line}" for line in lines]


def _name_owner(owner: str, found: ScannedFunction) -> tuple[str, str]:
    """The name of the type a function belongs to, and the word that declares it."""
    match = re.match(r"impl\b(?:<[^>]*>)?\s*(?:.*\bfor\s+)?&?(?:mut\s+)?([A-Za-z_]\w*)", owner)
    if match:
        return match[1], "struct"
    match = re.match(r"(?:class|struct|interface|enum|record|object)\s+(?:[A-Z_]{4,}\s+)?([A-Za-z_]\w*)", owner)
    if match:
        return match[1], "class"
    outside = re.search(r"\b([A-Za-z_]\w*)::~?\w+\s*\($", head_of(found.code).partition("(")[0] + "(")
    return (outside[1], "class") if outside else ("", "")


def _list_fields(name: str, source: SourceFile, used: set[str]) -> Iterator[str]:
    """The fields of a type that a body uses, where the file declares the type."""
    if not name:
        return
    opening = re.compile(rf"\b(?:class|struct|enum|record|interface)\s+(?:[A-Z_]{{4,}}\s+)?{name}\b[^;]*$")
    start = next((n for n in source.outside if opening.search(source.lines[n])), None)
    if start is None:
        return
    margin = len(source.lines[start]) - len(source.lines[start].lstrip())
    outside = set(source.outside)
    for number in range(start + 1, len(source.lines)):
        line = source.lines[number]
        if line.strip().startswith("}") and len(line) - len(line.lstrip()) <= margin:
            return
        match = _FIELD.match(line)
        if number in outside and match and (match["a"] or match["b"]) in used and len(line) <= _LONGEST:
            yield line.strip()


def list_unknown_names(code: str, context: str, language: str) -> list[str]:
    """Names of a project that a body uses and the question does not show."""
    pattern = _PROJECT_NAME.get(language)
    body = code.removeprefix(head_of(code))
    return sorted(set(pattern.findall(body)) - set(_IDENTIFIER.findall(context))) if pattern else []


def find_owner(found: ScannedFunction, source: SourceFile) -> str:
    """The head of the class, struct or impl block a function stands in; empty for none."""
    own = source.lines[found.first - 1]
    margin = len(own) - len(own.lstrip())
    for number in range(found.first - 2, -1, -1):
        line = source.lines[number]
        indent = len(line) - len(line.lstrip())
        if not line.strip() or indent > margin or (indent == margin and margin):
            continue
        match = _OWNER.match(line)
        if match and (indent < margin or not margin) and (margin or line.rstrip().endswith("{")):
            return " ".join(match["head"].split()) if margin else ""
        if indent < margin:
            margin = (
                indent if not line.lstrip().startswith(("public", "private", "protected", "#", "}", "//")) else margin
            )
        if not margin:
            return ""
    return ""


def head_of(code: str) -> str:
    """A function up to its body."""
    depth = 0
    for at, mark in enumerate(code):
        depth += (mark in "([") - (mark in ")]")
        if mark == "{" and not depth and not code[:at].endswith(("interface", "struct")):
            return _INITIALIZERS.sub(")", code[:at].rstrip())
    return code.partition("\n")[0]


def _list_declarations(found: ScannedFunction, source: SourceFile, used: set[str]) -> Iterator[str]:
    for number in source.outside:
        if source.lines[number][:1].isspace():
            continue
        line = source.lines[number].strip()
        if not line or len(line) > _LONGEST or line.startswith(("//", "*", "/*", "#if", "#end", "#else", "@")):
            continue
        if _IMPORT.match(line):
            if _imported(line) & used:
                yield line
        elif _CONSTANT.match(line) and not line.endswith(("{", "(", ":", "\\")):
            declared = _declared_name(line)
            if declared in used and declared != found.name:
                yield line


def _imported(line: str) -> set[str]:
    """The names an import brings in: what is in braces, or bound, or the last part of a path."""
    if "include" in line:
        line = line.rpartition("/")[2].partition(".")[0]
    elif bound := re.match(r"(?:const|let|var)\s+(.*?)=", line):
        line = bound[1]
    elif "{" in line:
        line = line.partition("{")[2].partition("}")[0]
    elif re.search(r"\bfrom\b", line):
        line = line.partition("from")[0]
    else:
        line = re.split(r"::|[./]", line.rstrip("; "))[-1]
    return set(re.findall(r"[A-Za-z_$][\w$]+", line)) - {"include", "import", "use", "as", "self", "const", "string"}


def _declared_name(line: str) -> str:
    """The name a declaration binds: the last one before its value, its end or its parameters."""
    if line.startswith("#"):
        return next(iter(_IDENTIFIER.findall(line.replace("#define", "", 1))), "")
    head = re.split(r"[=;({]", re.sub(r"^pub\([^)]*\)", "pub", line), maxsplit=1)[0]
    if re.match(r"(?:pub|static|const|let|var|type|export)\b", line):
        head = head.partition(":")[0]
    names = _IDENTIFIER.findall(head)
    return names[-1] if names else ""


def _list_heads(found: ScannedFunction, source: SourceFile, used: set[str]) -> Iterator[str]:
    seen = {found.name}
    for other in source.functions:
        if other.name in used and other.name not in seen and re.search(rf"\b{re.escape(other.name)}\s*\(", found.code):
            seen.add(other.name)
            head = " ".join(head_of(other.code).split())
            if len(head) <= _LONGEST:
                yield f"{head};"
