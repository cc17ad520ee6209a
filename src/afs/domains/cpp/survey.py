"""Finds which functions of a library become tasks: those whose wrapper the compiler accepts, with faults it rejects."""

from __future__ import annotations

import functools
import random
import re
from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatch

import msgspec

from afs import jsonl
from afs.domains.cpp.api import ApiFunction, LibraryApi, load_names, read_api
from afs.domains.cpp.compiler import COMPILER, CompileOutcome, CompilerError, compile_after
from afs.domains.cpp.options import HEADERS, CppOptions
from afs.domains.cpp.signature import CppSignature
from afs.domains.cpp.spec import CppFault, HeaderSet
from afs.domains.cpp.wrappers import Wrapper, build_wrapper, list_wrong_calls
from afs.domains.repository_snapshot import RepositorySnapshot, cache_folder, read_snapshot
from afs.errors import UsageError
from afs.types import Value, digest

_ASIDE = re.compile(
    r"(?:^|/)(?:tests?|unit|examples?|samples?|third_?-?party|3rd_?party|ext|ext(?:ern(?:al)?|libs?)|vendor|_?deps|docs?|contrib"
    r"|bench(?:marks?)?|build|cmake|fuzz\w*)/"
)
_PASSES = 40
"""A missing file ends the compiler at once, so each pass finds one bad header."""
_AT_ONCE = 1500
"""Cases in one run of the compiler."""
_CASE = re.compile(r"\bafs_case_\d+::")
_CONFIRMATIONS = 3
_VERSION = "1"


class UsableFunction(Value, frozen=True, kw_only=True):
    """A function with a call that compiles."""

    function: ApiFunction
    wrapper: Wrapper
    faults: tuple[CppFault, ...]
    planted: int
    """Wrong calls tried; those that the compiler accepts are not wrong."""
    has_signature: bool
    """Whether its type can be asked for."""


class CppSurvey(Value, frozen=True, kw_only=True):
    """What a library gives."""

    name: str
    commit: str
    license: str
    headers: HeaderSet
    bad_headers: dict[str, str]
    """Header -> why it does not compile."""
    found: int
    """Public functions, operators and templates counted."""
    left_out: dict[str, int]
    usable: tuple[UsableFunction, ...]


def survey(options: CppOptions) -> CppSurvey:
    """The survey, from the cache when the files and options are the same."""
    snapshot = read_headers(options)
    snapshot.store()
    named = {k: v for k, v in msgspec.to_builtins(options, enc_hook=str).items() if k != "path"}
    place = cache_folder() / f"{digest((snapshot.digest, snapshot.name, named, _VERSION))[:24]}.cpp.json"
    if place.exists():
        return msgspec.json.decode(place.read_bytes(), type=CppSurvey)
    found = _survey(snapshot, options)
    jsonl.replace(place, msgspec.json.encode(found))
    return found


def read_headers(options: CppOptions) -> RepositorySnapshot:
    """The headers of a library, as they are now or at a commit."""
    return read_snapshot(options.path, options.commit, options.license, HEADERS)


def _survey(snapshot: RepositorySnapshot, options: CppOptions) -> CppSurvey:
    headers, bad = _select_headers(snapshot, options)
    api = read_api(snapshot.files, headers.headers, options.namespaces)
    functions = api.functions
    if len(functions) > options.functions:
        functions = tuple(random.Random(0).sample(functions, options.functions))
    words = load_names(snapshot.digest)
    compile_code = functools.partial(compile_after, headers, snapshot.files)
    wrappers = _find_wrappers(compile_code, api, functions)
    planted = _plant_faults(api, wrappers, words)
    faults = _find_faults(compile_code, planted)
    signed = _find_signed(compile_code, wrappers)
    usable = [
        UsableFunction(
            function=function,
            wrapper=wrapper,
            faults=tuple(faults.get(index, ())),
            planted=sum(row[0] == index for row in planted),
            has_signature=index in signed,
        )
        for index, (function, wrapper) in enumerate(wrappers)
    ]
    left = {**api.left_out, "calls that do not compile": len(functions) - len(usable)}
    if len(api.functions) > len(functions):
        left["over the limit"] = len(api.functions) - len(functions)
    return CppSurvey(
        name=snapshot.name,
        commit=snapshot.commit,
        license=snapshot.license,
        headers=headers,
        bad_headers=bad,
        found=len(api.functions) + sum(api.left_out.values()),
        left_out={reason: count for reason, count in left.items() if count},
        usable=tuple(usable),
    )


def _select_headers(snapshot: RepositorySnapshot, options: CppOptions) -> tuple[HeaderSet, dict[str, str]]:
    """The headers that compile together, and the first error of each that does not."""
    kept = _list_wanted(snapshot, options)
    if not kept:
        raise UsageError(f"{options.path}: no header is left; see the options headers and exclude")
    bad: dict[str, str] = {}
    headers = HeaderSet(
        snapshot=snapshot.digest,
        headers=(),
        include=options.include
        or tuple(p for p in ("include", "src") if any(f.startswith(f"{p}/") for f in snapshot.files)),
        system=tuple(str(place.expanduser().resolve()) for place in options.system),
        standard=options.standard,
        defines=options.defines,
        compile_s=options.compile_s,
        memory_mb=options.memory_mb,
    )
    for _ in range(_PASSES):
        headers = msgspec.structs.replace(headers, headers=tuple(kept))
        outcome = compile_after(headers, snapshot.files, "")
        if outcome.is_ok:
            return headers, bad
        if outcome.timed_out:
            raise UsageError(
                f"{snapshot.name}: {COMPILER} takes more than {options.compile_s} s for the headers;"
                " name fewer with `headers`, or raise `compile_s`"
            )
        faulty = {kept[error.header]: error.message for error in reversed(outcome.errors) if error.header >= 0}
        if not faulty:
            break
        bad |= faulty
        kept = [path for path in kept if path not in faulty]
        if not kept:
            break
    first = next(iter(bad.items()), ("", "errors in no header of its own"))
    raise UsageError(
        f"{snapshot.name}: no header compiles with {COMPILER} -std={options.standard}; first {first[0]}: {first[1]};"
        " see the options include, system, defines and standard"
    )


def _list_wanted(snapshot: RepositorySnapshot, options: CppOptions) -> list[str]:
    """The headers that are asked for: without patterns those below `include`, else all but those of others."""
    paths = [
        path
        for path in sorted(snapshot.files)
        if path.endswith(HEADERS[:4]) and not any(fnmatch(path, one) for one in options.exclude)
    ]
    if options.headers:
        return [path for path in paths if any(fnmatch(path, one) for one in options.headers)]
    return [path for path in paths if path.startswith("include/")] or [p for p in paths if not _ASIDE.search(p.lower())]


Compile = Callable[[str], CompileOutcome]


def _find_wrappers(
    compile_code: Compile, api: LibraryApi, functions: Sequence[ApiFunction]
) -> list[tuple[ApiFunction, Wrapper]]:
    """The functions whose wrapper compiles, as it is or with its values moved."""
    chosen: dict[int, Wrapper] = {}
    for is_moved in (False, True):
        tried = {}
        for index, function in enumerate(functions):
            rng = random.Random(f"{function.name}({function.signature.list_types()})")
            wrapper = build_wrapper(api, function, rng, is_moved=is_moved)
            if index not in chosen and wrapper and wrapper not in chosen.values():
                tried[index] = wrapper
        good = _filter_good(compile_code, {index: _join(wrapper.write(), index) for index, wrapper in tried.items()})
        chosen |= {index: tried[index] for index in good}
    return [(functions[index], wrapper) for index, wrapper in sorted(chosen.items())]


def _filter_good(compile_code: Compile, cases: Mapping[int, str]) -> set[int]:
    """The cases that compile, confirmed without the others; each is one line."""
    left = dict(cases)
    for _ in range(_CONFIRMATIONS):
        rejected = _find_errors(compile_code, left)
        left = {key: code for key, code in left.items() if key not in rejected}
        if not rejected:
            break
    return set(left)


def _find_errors(compile_code: Compile, cases: Mapping[int, str]) -> dict[int, CompilerError]:
    """Case -> its first error; cases are compiled many at once, each in a namespace and a line of its own."""
    found: dict[int, CompilerError] = {}
    keys = list(cases)
    for start in range(0, len(keys), _AT_ONCE):
        batch = keys[start : start + _AT_ONCE]
        outcome = compile_code("\n".join(cases[key] for key in batch))
        if outcome.timed_out:
            raise UsageError(f"{COMPILER} takes too long for {len(batch)} calls; raise `compile_s`")
        for error in outcome.errors:
            for line in error.lines:
                if 0 < line <= len(batch):
                    found.setdefault(batch[line - 1], error)
    return found


def _join(code: str, at: int) -> str:
    """A case on one line, in a namespace of its own."""
    return f"namespace afs_case_{at} {{ {' '.join(code.splitlines())} }}"


def _plant_faults(
    api: LibraryApi, wrappers: Sequence[tuple[ApiFunction, Wrapper]], words: frozenset[str]
) -> list[tuple[int, str, str]]:
    """(index of the wrapper, kind, definition) of wrong calls."""
    overloads: dict[str, list[CppSignature]] = {}
    for function in api.functions:
        overloads.setdefault(function.name, []).append(function.signature)
    return [
        (index, kind, code)
        for index, (function, wrapper) in enumerate(wrappers)
        for kind, code in list_wrong_calls(wrapper, overloads[function.name], words)
    ]


def _find_faults(compile_code: Compile, planted: Sequence[tuple[int, str, str]]) -> dict[int, list[CppFault]]:
    """Of each wrapper the wrong versions that the compiler rejects."""
    errors = _find_errors(compile_code, {at: _join(row[2], at) for at, row in enumerate(planted)})
    found: dict[int, list[CppFault]] = {}
    for at, (index, kind, code) in enumerate(planted):
        if error := errors.get(at):
            found.setdefault(index, []).append(
                CppFault(kind=kind, code=code, message=_CASE.sub("", error.show())[:800])
            )
    return found


def _find_signed(compile_code: Compile, wrappers: Sequence[tuple[ApiFunction, Wrapper]]) -> set[int]:
    """The functions whose declared type the compiler confirms."""
    cases = {
        index: write_probe(function.name, function.scope, function.kind, function.signature, f"afs_case_{index}")
        for index, (function, _) in enumerate(wrappers)
        if function.kind != "constructor"
    }
    return set(cases) - set(_find_errors(compile_code, cases))


def write_probe(name: str, scope: str, kind: str, signature: CppSignature, probe: str = "afs_probe") -> str:
    """Code that compiles when the function has exactly this type; names are read where it is declared."""
    result, types = signature.result, signature.list_types()
    if kind == "method":
        const = " const" if signature.is_const else ""
        cast = f"static_cast<{result} ({scope}::*)({types}){const}>(&{name})"
    else:
        cast = f"static_cast<{result} (*)({types})>(&{name})"
    if kind in ("method", "static"):
        return f"struct {probe} : {scope} {{ static void look() {{ (void){cast}; }} }};"
    code = f"inline void {probe}() {{ (void){cast}; }}"
    for part in reversed(scope.split("::") if scope else ()):
        code = f"namespace {part} {{ {code} }}"
    return code
