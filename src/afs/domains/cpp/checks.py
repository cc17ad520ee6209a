"""Judges an answer: what it calls, and whether the compiler accepts it after the library's headers."""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

from afs.domains.base import strip_thinking
from afs.domains.cpp.api import load_names
from afs.domains.cpp.compiler import compile_after, find_unknown_names
from afs.domains.cpp.signature import parse_signature, split_items
from afs.domains.cpp.spec import CppSpec
from afs.domains.cpp.survey import write_probe
from afs.domains.cpp.wrappers import PERFORM
from afs.domains.repository_snapshot import load_files
from afs.errors import MissingError, ProcessError
from afs.source_code import function_scanner
from afs.types import Json, Task, Verdict

_FENCE = re.compile(r"```[\w+-]*[ \t]*\n(.*?)(?:```|\Z)", re.S)
_DIRECTIVE = re.compile(r"^[ \t]*(?:#(?![ \t]*include[ \t]*[<\"][\w./+-]+[>\"][ \t]*$)|%:).*$|\b_Pragma\b", re.M)
_EVADING = re.compile(r"\b(?:template|decltype|sizeof|typeid|noexcept|requires|asm|__\w+|concept|extern)\b")
_GENERIC = re.compile(r"\([^()]*\bauto\b[^()]*\)\s*(?:mutable\s*)?(?:->[^{;]*)?\{")
_NAMED = re.compile(rf"\b{PERFORM}\s*\(")
_BODY = re.compile(r"\s*(?:->[^{;]*)?\{")
_TYPE_TEXT = re.compile(r"^[\w:<>,&*\s\[\]().]*$")
_HIDDEN = re.compile(r"\b(?:decltype|auto|typeof|__\w+)\b")

_SPAN = re.compile(r"`([^`\n]*\([^`\n]*)`")
_CONSTANT = re.compile(r'(?:true|false|nullptr|NULL|-?\d[\w.]*|" *"|\{\s*\}|[\w:]+\s*(?:\(\s*\)|\{\s*\}))')
_CHANGED = re.compile(r"^[!~-]\s*\w|[-+*/%^|&]\s*[1-9]")
"""A value that is negated, or computed with a number."""


def read_code(text: str) -> str:
    """The last code block of an answer, else all of it."""
    said = strip_thinking(text)
    blocks = _FENCE.findall(said)
    return str(blocks[-1] if blocks else said).strip()


class _Judge:
    """One answer on its way through the stages."""

    def __init__(self, task: Task, spec: CppSpec, files: Mapping[str, bytes]) -> None:
        self.task, self.spec, self.files = task, spec, files

    def verdict(self, stage: str, score: float, reason: str = "", facts: Json | None = None) -> Verdict:
        """The verdict so far."""
        return Verdict(
            task=self.task.id, ok=score == 1.0, score=score, stage=stage, reason=reason[:500], facts=facts or {}
        )

    def compile(self, code: str, tail: str) -> Verdict | None:
        """What the compiler rejects; None when it accepts the code."""
        outcome = compile_after(self.spec.headers, self.files, code, tail)
        if outcome.is_ok:
            return None
        if outcome.timed_out:
            if not compile_after(self.spec.headers, self.files, "").is_ok:
                raise ProcessError("the headers alone do not compile in time: the machine is too busy")
            return self.verdict("compile", 0.1, "takes the compiler too long")
        known = load_names(self.spec.headers.snapshot)
        unknown = [one for one in find_unknown_names(outcome.errors) if one.name not in known or one.scope]
        if unknown:
            reason = "; ".join(one.describe(known) for one in unknown[:3])
            names = [f"{one.scope}::{one.name}" if one.scope else one.name for one in unknown]
            return self.verdict("compile", 0.2, reason, {"unknown": names})
        return self.verdict("compile", 0.3, outcome.errors[0].show() if outcome.errors else "does not compile")

    def check_function(self, code: str) -> Verdict:
        """An answer that is a function which calls another."""
        bare = function_scanner.blank_noise(code, "cpp")
        if problem := self._find_evasion(code, bare):
            return self.verdict("parse", 0.05, problem)
        if rejected := self.compile(code, f"{self.spec.prototype};\nauto *const afs_probe = &{PERFORM};"):
            return rejected
        if problem := self._find_wrong_call(bare):
            return self.verdict("match", 0.5, problem)
        return self.verdict("match", 1.0, facts={"calls": [self.spec.name]})

    def _find_evasion(self, code: str, bare: str) -> str:
        """Why an answer cannot be judged by compiling it."""
        if found := _DIRECTIVE.search(code):
            return f"holds `{found[0].strip()[:60]}`: only `#include` is allowed"
        if found := _EVADING.search(bare):
            return f"uses `{found[0]}`: write an ordinary function"
        if _GENERIC.search(bare):
            return "takes an `auto` parameter: write an ordinary function"
        space = self.spec.name.partition("::")[0]
        if "::" in self.spec.name and re.search(rf"\b(?:namespace|class|struct)\s+{re.escape(space)}\b\s*[{{:]", bare):
            return f"declares names of `{space}` itself"
        if self.spec.kind != "constructor" and _defines(bare, self.spec.name.rpartition("::")[2]):
            return f"defines `{self.spec.name.rpartition('::')[2]}` itself"
        return "" if _find_body(bare) else f"does not define `{PERFORM}`"

    def _find_wrong_call(self, bare: str) -> str:
        """What is wrong with the call, as far as the compiler does not see it."""
        short = re.escape(self.spec.name.rpartition("::")[2])
        pattern = rf"\b{short}\s*[({{]"
        if self.spec.kind == "constructor":
            pattern = rf"(?:\b{short}(?:\s+\w+)?|\breturn(?=\s*\{{))\s*[({{]|\b{short}\s+\w+\s*;"
        body = _find_body(bare)
        text = body if self.spec.kind == "constructor" else bare
        calls = [_read_arguments(text, match.end() - 1) for match in re.finditer(pattern, text)]
        if not calls:
            return f"does not call `{self.spec.name}`"
        for name in self.spec.arguments:
            if not re.search(rf"\b{re.escape(name)}\b", body) and name in _parameter_names(self.spec.prototype):
                return f"does not pass `{name}`"
        problems = [_find_misplaced(call, self.spec.arguments) for call in calls]
        return problems[0] if "" not in problems else self._find_lost_effect(body, short)

    def _find_lost_effect(self, body: str, short: str) -> str:
        """A result that is not returned, or a change made to a copy."""
        result, _, parameters = self.spec.prototype.partition(f" {PERFORM}(")
        if self.spec.kind == "method":
            for owner in re.findall(rf"(?<!const )\b{re.escape(self.spec.scope)}\s*&\s*(\w+)", parameters):
                copies = re.findall(rf"[\w>]\s+(\w+)\s*[=({{]\s*{owner}\s*[;)}}]", body)
                if any(re.search(rf"\b{copy}\s*\.\s*{short}\s*\(", body) for copy in copies):
                    return f"calls it on a copy of `{owner}`"
        if result == "void" or (self.spec.kind == "constructor" and not self.spec.arguments):
            return ""
        returned = {one.strip() for one in re.findall(r"\breturn\b([^;]*);", body)}
        if not returned or (len(returned) == 1 and all(map(_CONSTANT.fullmatch, returned))):
            return f"does not return what `{self.spec.name}` returns"
        is_negated = any(re.match(rf"!\s*[\w.:>-]*\b{short}\s*\(", one) for one in returned)
        return f"returns the opposite of what `{self.spec.name}` returns" if is_negated else ""

    def check_signature(self, code: str) -> Verdict:
        """An answer that is a declaration: the function must have exactly this type."""
        short = self.spec.name.rpartition("::")[2]
        spans = _SPAN.findall(code)
        plain = function_scanner.blank_noise(spans[-1] if spans else code, "cpp")
        text = plain.partition("{")[0].partition(";")[0]
        said = parse_signature(text, short)
        if said is None:
            return self.verdict("parse", 0.05, f"no declaration of `{short}`")
        types = (said.result, said.list_types())
        if any(not _TYPE_TEXT.match(one) or _HIDDEN.search(one) or one.count("(") != one.count(")") for one in types):
            return self.verdict("parse", 0.05, "not a plain declaration")
        probe = write_probe(self.spec.name, self.spec.scope, self.spec.kind, said)
        rejected = self.compile(probe, "")
        space = self.spec.scope.rpartition("::")[0]
        if rejected and space and self.compile(f"using namespace {space};\n{probe}", "") is None:
            return self.verdict("match", 1.0)  # types of the namespace, written as the header writes them
        if rejected:
            return rejected if rejected.facts else self.verdict("match", 0.3, f"`{self.spec.name}` has another type")
        return self.verdict("match", 1.0)


def _parameter_names(prototype: str) -> frozenset[str]:
    return frozenset(re.findall(r"\b([A-Za-z_]\w*)\b", prototype.partition("(")[2]))


def _find_body(bare: str) -> str:
    """From the brace that opens the asked function's body; empty when it has none."""
    closing = function_scanner.match_brackets(bare)
    for match in _NAMED.finditer(bare):
        opens = _BODY.match(bare, closing.get(match.end() - 1, len(bare)) + 1)
        if opens:
            return bare[opens.end() - 1 : closing.get(opens.end() - 1, len(bare)) + 1]
    return ""


def _defines(bare: str, name: str) -> bool:
    """Whether a text defines a function, or names a lambda, of its own."""
    if re.search(rf"\b{re.escape(name)}\s*=\s*\[", bare):
        return True
    closing = function_scanner.match_brackets(bare)
    found = re.finditer(rf"(?<!\breturn)(?<!\belse)(?<=[\w>&*])\s+{re.escape(name)}\s*\(", bare)
    return any(_BODY.match(bare, closing.get(match.end() - 1, len(bare)) + 1) for match in found)


def _read_arguments(bare: str, opening: int) -> list[str]:
    closing = function_scanner.match_brackets(bare).get(opening)
    return split_items(bare[opening + 1 : closing]) if closing else []


def _find_misplaced(call: list[str], wanted: tuple[str, ...]) -> str:
    """An argument that stands in the place of another; only plain names are looked at."""
    for at, argument in enumerate(call):
        plain = re.fullmatch(r"(?:std\s*::\s*(?:move|forward\s*<[^<>]*>)\s*\(\s*)?(\w+)\s*\)?", argument)
        if plain and plain[1] in wanted and (at >= len(wanted) or plain[1] != wanted[at]):
            return f"passes `{plain[1]}` as argument {at + 1}"
        if at < len(wanted) and _CHANGED.search(argument) and re.search(rf"\b{re.escape(wanted[at])}\b", argument):
            return f"passes another value than `{wanted[at]}`"
    return ""


def check(task: Task, answer: str) -> Verdict:
    """The verdict on one answer; unknown where the snapshot, the compiler or the sandbox is missing."""
    spec = msgspec.convert(task.spec, CppSpec)
    code = read_code(answer)
    try:
        files = load_files(spec.headers.snapshot)
        if files is None:
            raise MissingError(
                f"the headers {spec.headers.snapshot} of {spec.library} are not on this machine:"
                " run `afs cpp scan PATH` on the library"
            )
        judge = _Judge(task, spec, files)
        if not code:
            return judge.verdict("extract", 0.0, "no code")
        return judge.check_signature(code) if task.family == "signature" else judge.check_function(code)
    except (MissingError, ProcessError) as error:
        return Verdict(task=task.id, ok=None, score=None, stage="sandbox", reason=str(error)[:500])
