"""The families: how a function of a library becomes a question with a reference answer."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from itertools import islice

import msgspec

from afs.domains.cpp.spec import CppSpec, Phrasing
from afs.domains.cpp.survey import CppSurvey, UsableFunction
from afs.types import Task, digest

NAME, VERSION = "cpp", "2"
SYSTEM = (
    "You write C++ against a library's headers. Answer with one C++ code block that holds only what is asked for;"
    " the headers are included already. Call only functions that exist."
)
CODE_RULE = "If you give several code blocks, the last one counts."
_DOC_WORDS = 4
"""A shorter comment does not say which function is meant."""
_COMMAND = re.compile(r"(?:^|\s)[\\@](?:t?param|returns?|see|sa|note|throws?|exception|since|deprecated)\b.*", re.S)
_CALL_PHRASES = (
    "Write the function `{prototype}`. It calls `{name}` with its parameters{returned}.",
    "Define `{prototype}`, which passes its parameters to `{name}`{returned}.",
    "Define the function `{prototype}`: it calls `{name}` once, with every parameter in its place{returned}.",
)
_FIND_PHRASES = (
    'Write the function `{prototype}`. It calls the function of {library} whose documentation says: "{doc}"',
    'Which function of {library} does this: "{doc}"? Define `{prototype}`, which calls it with its parameters.',
    'In {library}, one function is documented as "{doc}". Call it in `{prototype}`, which you define.',
)
_SIGNATURE_PHRASES = (
    "Give the declaration of `{name}` as the headers of {library} have it.",
    "How is `{name}` of {library} declared? Answer with the declaration.",
    "What is the exact signature of `{name}` ({library})? Write its declaration.",
)
_FIX_PHRASES = (
    "This call of {library} does not compile. Correct it.\n\n{code}\n\nThe compiler says:\n\n{message}",
    "Correct this function, so that it calls `{name}` of {library}.\n\n{code}\n\n{message}",
)


def fence(code: str) -> str:
    """Code as an answer writes it."""
    return f"```cpp\n{code.rstrip()}\n```"


def _build_task(found: CppSurvey, one: UsableFunction, prompt: str, phrase: str, reference: str) -> Task:
    """A task; functions of one scope stay on one side of a split."""
    family = phrase.partition("-")[0]
    spec = _start_spec(found, one, phrase)
    where = one.function.scope or one.function.header
    return Task(
        id=digest((NAME, family, found.name, spec.name, prompt))[:16],
        domain=NAME,
        family=family,
        version=VERSION,
        prompt=f"{prompt}\n{CODE_RULE}",
        reference=fence(reference),
        spec=msgspec.to_builtins(spec),
        group=f"{found.name}/{where}",
        system=SYSTEM,
    )


def _start_spec(found: CppSurvey, one: UsableFunction, phrase: str) -> CppSpec:
    return CppSpec(
        library=found.name,
        license=found.license,
        commit=found.commit,
        headers=found.headers,
        name=one.function.name,
        scope=one.function.scope,
        kind=one.function.kind,
        prototype=one.wrapper.prototype,
        arguments=one.wrapper.arguments,
        faults=one.faults,
        question=Phrasing(phrase=phrase),
    )


def call(found: CppSurvey, one: UsableFunction, phrase: int) -> Iterator[Task]:
    """Write a call of a function that is named."""
    returned = "" if one.wrapper.result == "void" else " and returns its result"
    prompt = _CALL_PHRASES[phrase % len(_CALL_PHRASES)].format(
        prototype=one.wrapper.prototype, name=one.function.name, returned=returned
    )
    yield _build_task(found, one, prompt, f"call-{phrase}", one.wrapper.write())


def find(found: CppSurvey, one: UsableFunction, phrase: int) -> Iterator[Task]:
    """Write a call of the function that a comment describes."""
    doc = _summarize(one.function.doc)
    if len(doc.split()) < _DOC_WORDS or one.function.kind == "constructor" or _count_docs(found)[doc] > 1:
        return
    if re.search(rf"\b{re.escape(one.function.short)}\b", doc, re.IGNORECASE):
        return
    prompt = _FIND_PHRASES[phrase % len(_FIND_PHRASES)].format(
        prototype=one.wrapper.prototype, library=found.name, doc=doc
    )
    yield _build_task(found, one, prompt, f"find-{phrase}", one.wrapper.write())


def _summarize(doc: str) -> str:
    """A comment without what follows its description: parameters, results, references."""
    return _COMMAND.split(doc)[0].strip()[:600]


def _count_docs(found: CppSurvey) -> Counter[str]:
    """How many functions a description fits."""
    names = {(one.function.name, _summarize(one.function.doc)) for one in found.usable}
    return Counter(doc for _, doc in names)


def signature(found: CppSurvey, one: UsableFunction, phrase: int) -> Iterator[Task]:
    """Give a function's declaration; of overloads any one."""
    if not one.has_signature:
        return
    prompt = _SIGNATURE_PHRASES[phrase % len(_SIGNATURE_PHRASES)].format(name=one.function.name, library=found.name)
    yield _build_task(found, one, prompt, f"signature-{phrase}", one.function.declaration)


def fix(found: CppSurvey, one: UsableFunction, phrase: int) -> Iterator[Task]:
    """Correct a wrong call; the compiler's error is shown."""
    if not one.faults:
        return
    fault = one.faults[phrase % len(one.faults)]
    prompt = _FIX_PHRASES[phrase % len(_FIX_PHRASES)].format(
        library=found.name, name=one.function.name, code=fence(fault.code), message=f"```\n{fault.message}\n```"
    )
    prompt += f"\n\nKeep `{one.wrapper.prototype}`."
    yield _build_task(found, one, prompt, f"fix-{phrase}", one.wrapper.write())


FAMILIES: Mapping[str, Callable[[CppSurvey, UsableFunction, int], Iterator[Task]]] = {
    "call": call,
    "find": find,
    "signature": signature,
    "fix": fix,
}
PHRASES = 3
"""How often a function may be asked for in one family, each time in other words."""


def iterate_tasks(found: CppSurvey, family: str, seed: int, n: int) -> Iterator[Task]:
    """At most `n` tasks: every function once, then in other words."""
    order = list(found.usable)
    random.Random(f"{seed}/{family}").shuffle(order)
    tasks = (
        task
        for turn in range(PHRASES)
        for at, one in enumerate(order)
        for task in FAMILIES[family](found, one, (turn + at) % PHRASES)
    )
    yield from islice(_drop_repeats(tasks), n)


def _drop_repeats(tasks: Iterator[Task]) -> Iterator[Task]:
    """Overloads may give one question twice."""
    seen: set[str] = set()
    for task in tasks:
        if task.prompt not in seen:
            seen.add(task.prompt)
            yield task
