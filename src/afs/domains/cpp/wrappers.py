"""Small functions that call a library function: the reference of a task, and wrong versions of it."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence, Set

from afs.domains.cpp.api import ApiFunction, LibraryApi
from afs.domains.cpp.signature import CppParameter, CppSignature
from afs.types import Value

PERFORM = "perform"
"""What an answer's function is called."""
_UNRELATED = "struct Unrelated {};\n\n"
_NO_VALUE = "Unrelated{}"


class Wrapper(Value, frozen=True, kw_only=True):
    """A function whose parameters are, in another order, what the call takes."""

    result: str
    parameters: tuple[CppParameter, ...]
    """In the order of the prototype."""
    arguments: tuple[str, ...]
    """Names in the order of the call."""
    passed: tuple[str, ...]
    """The same as expressions."""
    target: str
    """What is called: `ns::name`, or `object.name`."""

    @property
    def prototype(self) -> str:
        """As a declaration."""
        rows = ", ".join(one.declare(one.name) for one in self.parameters)
        return f"{self.result} {PERFORM}({rows})"

    def write(self, target: str = "", passed: tuple[str, ...] | None = None, before: str = "") -> str:
        """The definition; another target or other arguments make it wrong."""
        call = f"{target or self.target}({', '.join(self.passed if passed is None else passed)})"
        returned = "" if self.result == "void" else "return "
        return f"{before}{self.prototype} {{\n    {returned}{call};\n}}"


def build_wrapper(api: LibraryApi, function: ApiFunction, rng: random.Random, *, is_moved: bool) -> Wrapper | None:
    """The wrapper of a function; None when a parameter cannot be named."""
    signature = function.signature
    names: list[str] = []
    named: list[CppParameter] = []
    for at, one in enumerate(signature.parameters):
        name = one.name if one.name and one.name not in names else f"value{at + 1}"
        names.append(name)
        kind, after = api.qualify(one.type, function.scope), api.qualify(one.after, function.scope)
        named.append(CppParameter(type=kind, name=name, after=after))
    passed = tuple(_pass(one, is_moved=is_moved) for one in named)
    target, result = function.name, api.qualify(signature.result, function.scope)
    if function.kind == "constructor":
        result = target = function.scope
    elif function.kind == "method":
        owner = "object" if "object" not in names else "receiver"
        const = "const " if signature.is_const else ""
        named.append(CppParameter(type=f"{const}{function.scope}&", name=owner))
        target = f"{owner}.{function.short}"
    rng.shuffle(named)
    return Wrapper(result=result, parameters=tuple(named), arguments=tuple(names), passed=passed, target=target)


def _pass(parameter: CppParameter, *, is_moved: bool) -> str:
    is_value = not parameter.type.endswith(("&", "*")) and not parameter.after
    if parameter.type.endswith("&&") or (is_moved and is_value):
        return f"std::move({parameter.name})"
    return parameter.name


def list_wrong_calls(wrapper: Wrapper, overloads: Sequence[CppSignature], words: Set[str]) -> Iterator[tuple[str, str]]:
    """(kind, definition) of calls that no overload takes; a constructor without arguments need not be declared."""
    passed = wrapper.passed
    more = next((n for n in range(len(passed) + 1, len(passed) + 9) if not _is_taken(overloads, n)), None)
    if more:
        padding = (_NO_VALUE,) * (more - len(passed))
        yield "too many arguments", wrapper.write(passed=(*passed, *padding), before=_UNRELATED)
    least = 0 if "." in wrapper.target or wrapper.result != wrapper.target else 1
    fewer = next((n for n in range(len(passed) - 1, least - 1, -1) if not _is_taken(overloads, n)), None)
    if fewer is not None:
        yield "too few arguments", wrapper.write(passed=passed[:fewer])
    if passed:
        yield "an argument of another type", wrapper.write(passed=(_NO_VALUE, *passed[1:]), before=_UNRELATED)
    yield "a name that does not exist", wrapper.write(target=_misspell(wrapper.target, words))


def _is_taken(overloads: Sequence[CppSignature], given: int) -> bool:
    return any(one.takes(given) for one in overloads)


def _misspell(target: str, words: Set[str]) -> str:
    """A name close to the right one that the headers do not have."""
    before, name = target[: -len(target.split("::")[-1].split(".")[-1])], target.split("::")[-1].split(".")[-1]
    swapped = name.swapcase()[:1] + name[1:]
    candidates = (f"{name}s", f"get{name[:1].upper()}{name[1:]}", f"{swapped}", f"{name}Value", f"do_{name}")
    return before + next(one for one in (*candidates, f"{name}_of_the_library") if one not in words)
