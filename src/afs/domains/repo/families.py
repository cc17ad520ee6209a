"""The families: how a judged function becomes a question with a reference answer."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from itertools import islice

import msgspec

from afs.domains.repo.checks import import_line
from afs.domains.repo.coverage_survey import CaughtFault, Judgement, Survey
from afs.domains.repo.functions import (
    PythonFunction,
    count_statements,
    is_source,
    module_name,
    put_function,
    stub,
)
from afs.domains.repo.prompt_context import (
    callees,
    find_names,
    has_literal_assertion,
    hidden_constants,
    hidden_names,
    list_context,
    split_statements,
)
from afs.domains.repo.spec import RepoSpec
from afs.domains.repo.test_runs import CallRow, TestJob
from afs.types import Task, digest

NAME, VERSION = "repo", "2"
SYSTEM = "You work on a Python project. Answer with one Python code block that holds only what is asked for."
_CALL_SYSTEM = "You read Python code. Answer with the value only, as a Python literal between backticks."
CODE_RULE = "If you give several code blocks, the last one counts."
_CONTEXT = 3000
"""Characters of the module's other code shown."""
_MODULES = 8
"""Fewer modules cannot be split into three sides."""
_TESTS_SHOWN = 3500
_FAULTS_PER_FUNCTION = 2
_CALLS_PER_FUNCTION = 2
_DOCSTRING = 80
"""Characters: one line says too little when no test that is shown calls the function."""

_LOSING = ("return value", "missing statement")
"""Faults after which a statement is gone with all that it names."""


def fence(code: str) -> str:
    """Code as an answer writes it."""
    return f"```python\n{code.rstrip()}\n```"


def build_task(
    family: str, found: Survey, function: PythonFunction, prompt: str, reference: str, spec: RepoSpec
) -> Task:
    """A task; functions of one module stay on one side of a split, in a project of few modules those of one name."""
    key = digest((NAME, family, found.snapshot.name, spec.path, spec.name, prompt))[:16]
    return Task(
        id=key,
        domain=NAME,
        family=family,
        version=VERSION,
        prompt=prompt,
        reference=reference,
        spec=msgspec.to_builtins(spec),
        group=f"{found.snapshot.name}/{function.path if _has_many_modules(found) else function.id}",
        system=_CALL_SYSTEM if family == "call" else SYSTEM,
    )


def _has_many_modules(found: Survey) -> bool:
    return sum(map(is_source, found.snapshot.files)) >= _MODULES


def start_spec(found: Survey, function: PythonFunction, tests: Sequence[str] = ()) -> RepoSpec:
    """What every task of a function says."""
    snapshot = found.snapshot
    return RepoSpec(
        snapshot=snapshot.digest,
        repository=snapshot.name,
        commit=snapshot.commit,
        license=snapshot.license,
        date=snapshot.dates.get(function.path, ""),
        python=found.project.python,
        memory_mb=found.project.memory_mb,
        path=function.path,
        name=function.name,
        tests=tuple(tests),
    )


def complete(found: Survey, judgement: Judgement) -> Iterator[Task]:
    """Write the body of a function from its signature, its docstring and its tests."""
    function, tests = judgement.subject.function, judgement.subject.tests
    shown = show_tests(found, tests)
    text = found.snapshot.text(function.path)
    if not _is_described(function, shown):
        return
    prompt = _join(
        f"Complete `{function.name}` in `{function.path}`. The project's tests judge it.",
        show_context(text, function, shown),
        f"The function:\n{fence(stub(function))}",
        f"Tests of it:\n{fence(shown)}" if shown else "",
        "Answer with the whole function, its decorators included.",
        CODE_RULE,
    )
    package = module_name(function.path).partition(".")[0]
    if hidden_constants(function.source, prompt) or hidden_names(function.source, prompt, text, package):
        return
    yield build_task("complete", found, function, prompt, fence(function.source), start_spec(found, function, tests))


def _is_described(function: PythonFunction, shown: str) -> bool:
    """Whether a docstring says what the function does, or a shown test that names it compares with a literal."""
    definition = ast.parse(function.source).body[0]
    if len(ast.get_docstring(definition) or "") >= _DOCSTRING:  # type: ignore[arg-type]
        return True
    is_special = function.short_name.startswith("__")
    name = function.name.partition(".")[0] if is_special else function.short_name
    return any(name in find_names(test) and has_literal_assertion(test) for test in split_statements(shown))


def fix(found: Survey, judgement: Judgement) -> Iterator[Task]:
    """Find and fix a fault that a test notices."""
    function, tests = judgement.subject.function, judgement.subject.tests
    text, package = found.snapshot.text(function.path), module_name(function.path).partition(".")[0]
    for fault in judgement.faults[:_FAULTS_PER_FUNCTION]:
        shown = show_tests(found, [fault.test])
        is_lost = fault.mutant.kind in _LOSING
        if is_lost and count_statements(function.source) < 2 and not _is_described(function, shown):
            continue
        prompt = _join(
            f"A test fails because of a fault in `{function.name}` in `{function.path}`. Fix the function.",
            show_context(text, function, shown),
            f"The function:\n{fence(fault.mutant.source)}",
            f"`{fault.test}` fails:\n{fence(_cut(fault.message, 800))}",
            f"The test:\n{fence(shown)}" if shown else "",
            "Answer with the whole corrected function, its decorators included.",
            CODE_RULE,
        )
        spec = msgspec.structs.replace(
            start_spec(found, function, tests), kind=fault.mutant.kind, fault=fault.mutant.source
        )
        if hidden_constants(function.source, prompt):
            continue
        if is_lost and hidden_names(function.source, prompt, text, package):
            continue
        yield build_task("fix", found, function, prompt, fence(function.source), spec)


def kill(found: Survey, judgement: Judgement) -> Iterator[Task]:
    """Write a test that passes on the code and fails on a fault; the reference is a call that tells them apart."""
    function = judgement.subject.function
    if "." in function.name or not judgement.subject.arguments:
        return
    for fault in judgement.faults[:_FAULTS_PER_FUNCTION]:
        if row := _telling_call(found, judgement, fault):
            spec = msgspec.structs.replace(
                start_spec(found, function), kind=fault.mutant.kind, fault=fault.mutant.source
            )
            body = f"    assert {function.name}({row[0]}) == {row[1]}\n"
            test = f"{import_line(spec)}\n\n\ndef test_{function.name.strip('_')}():\n{body}"
            prompt = _join(
                f"Write a pytest test for `{function.name}` in `{function.path}` that passes on the function as it is"
                " and fails on the faulty version.",
                show_context(found.snapshot.text(function.path), function),
                f"The function:\n{fence(function.source)}",
                f"The faulty version:\n{fence(fault.mutant.source)}",
                f"Import it with `{import_line(spec)}`. Call the code; do not read its source.",
                CODE_RULE,
            )
            yield build_task("test", found, function, prompt, fence(test), spec)


def _telling_call(found: Survey, judgement: Judgement, fault: CaughtFault) -> tuple[str, str] | None:
    """Arguments and the right value of a call whose value the fault changes, confirmed as a test on both."""
    function = judgement.subject.function
    values = evaluate_calls(found, function, function.source, judgement.subject.arguments)
    wrong = evaluate_calls(found, function, fault.mutant.source, judgement.subject.arguments)
    for arguments, right, other in zip(judgement.subject.arguments, values, wrong, strict=True):
        if (
            right.value
            and right.value not in ("None",)
            and (other.raised or (other.value and other.value != right.value))
        ):
            return arguments, right.value
    return None


def call(found: Survey, judgement: Judgement) -> Iterator[Task]:
    """Say what a call returns; the code shown is all that it needs."""
    function = judgement.subject.function
    text = found.snapshot.text(function.path)
    if "." in function.name or function.decorators or not judgement.subject.arguments:
        return
    beside = callees(text, function)
    if beside is None or sum(map(len, beside.values())) > _CONTEXT:
        return
    values = evaluate_calls(found, function, function.source, judgement.subject.arguments)
    kept = [
        (a, v.value) for a, v in zip(judgement.subject.arguments, values, strict=True) if v.value and v.value != "None"
    ]
    imports = list_imports(text, find_names("\n".join((function.source, *beside.values()))))
    for arguments, value in kept[:_CALLS_PER_FUNCTION]:
        prompt = _join(
            fence("\n\n".join(part for part in (imports, *beside.values(), function.source) if part)),
            f"What does `{function.name}({arguments})` return?",
        )
        spec = msgspec.structs.replace(start_spec(found, function), call=arguments)
        yield build_task("call", found, function, prompt, f"`{value}`", spec)


def list_imports(text: str, names: Set[str]) -> str:
    """The import statements of a module that bind one of some names."""
    nodes = [n for n in ast.parse(text).body if isinstance(n, ast.Import | ast.ImportFrom)]
    bound = ({(alias.asname or alias.name).partition(".")[0] for alias in node.names} for node in nodes)
    used = (node for node, its in zip(nodes, bound, strict=True) if its & names)
    return "\n".join(ast.get_source_segment(text, node) or "" for node in used)


def evaluate_calls(found: Survey, function: PythonFunction, source: str, arguments: Sequence[str]) -> list[CallRow]:
    """What calls of a version of the function give, where two processes with other hash seeds agree."""
    text = put_function(found.snapshot.text(function.path), function, source)
    rows = tuple((module_name(function.path), function.name, one) for one in arguments)
    outcomes = [
        found.project.run(
            found.snapshot.files,
            [TestJob(files={function.path: text}, calls=rows, test_s=2, limit_s=10, hash_seed=seed)],
            found.cache,
        )[0].calls
        for seed in (0, 1)
    ]
    nothing = CallRow()
    padded = [list(calls) + [nothing] * (len(arguments) - len(calls)) for calls in outcomes]
    return [one if one == other else nothing for one, other in zip(*padded, strict=True)]


def show_tests(found: Survey, tests: Sequence[str]) -> str:
    """The source of test functions, shortest first, as much as there is room for; empty when none is found."""
    sources = {source for test in tests if (source := find_test(found, test))}
    shown: list[str] = []
    room = _TESTS_SHOWN
    for source in sorted(sources, key=lambda s: (len(s), s)):
        if len(source) > room:
            break
        shown.append(source)
        room -= len(source)
    return "\n\n".join(shown)


def find_test(found: Survey, test: str) -> str:
    """The source of the test function that a node id names."""
    path, *names = test.partition("[")[0].split("::")
    text = found.snapshot.text(path) if path in found.snapshot.files else ""
    body: Sequence[ast.stmt] = ast.parse(text).body if text else []
    node: ast.stmt | None = None
    for name in names:
        node = next((n for n in body if isinstance(n, ast.FunctionDef | ast.ClassDef) and n.name == name), None)
        body = node.body if isinstance(node, ast.ClassDef) else []
    if not isinstance(node, ast.FunctionDef):
        return ""
    first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
    lines = text.splitlines()[first - 1 : node.end_lineno]
    indent = lines[node.lineno - first][: node.col_offset]
    return "\n".join(line.removeprefix(indent) for line in lines)


def show_context(text: str, function: PythonFunction, shown: str = "") -> str:
    """What of the module a prompt shows beside the function and its tests."""
    context = list_context(text, function, _CONTEXT, shown)
    return f"Of the module:\n{fence(context)}" if context else ""


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 2] + " …"


def _join(*parts: str) -> str:
    return "\n\n".join(part for part in parts if part)


FAMILIES: Mapping[str, Callable[[Survey, Judgement], Iterator[Task]]] = {
    "complete": complete,
    "fix": fix,
    "test": kill,
    "call": call,
}


def iterate_tasks(found: Survey, family: str, seed: int, n: int) -> Iterator[Task]:
    """`n` tasks of a family, or as many as the repository gives."""
    build = FAMILIES[family]
    judged = (judgement for judgement in found.judge_in_order(seed) if judgement.is_tested)
    yield from islice((task for judgement in judged for task in build(found, judgement)), n)
