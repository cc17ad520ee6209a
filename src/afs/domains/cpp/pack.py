"""The pack object. A configured one makes tasks of its library; any one judges them."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping

import msgspec

from afs.config import decode_options
from afs.domains.base import Block, Domain, Finding, PackVerb
from afs.domains.cpp import checks
from afs.domains.cpp.families import FAMILIES, NAME, SYSTEM, VERSION, fence, iterate_tasks
from afs.domains.cpp.options import CppOptions
from afs.domains.cpp.spec import CppSpec
from afs.domains.cpp.survey import CppSurvey, read_headers, survey
from afs.errors import ConfigError, UsageError
from afs.types import Json, Record, Task, Verdict, digest

_NAME = re.compile(r"`([A-Za-z_]\w*(?:::\w+)+)`")


class CppPack:
    """See `afs.domains.base.Domain` for what each member is for."""

    name = NAME
    version = VERSION
    families: tuple[str, ...] = tuple(FAMILIES)
    verbs: Mapping[str, PackVerb] = {
        "scan": PackVerb(
            config="afs.domains.cpp.scan_command:CppScanConfig",
            function="afs.domains.cpp.scan_command:scan",
            help="what the headers of a C++ library give: functions, calls that compile, tasks",
        ),
        "look": PackVerb(
            config="afs.domains.cpp.look_command:CppLookConfig",
            function="afs.domains.cpp.look_command:look_up",
            help="the declaration, comment and calls of a function in a C++ library's headers",
        ),
    }
    parts = "afs.domains.cpp.compiler:list_parts"
    dialects: tuple[str, ...] = ()
    suites: Mapping[str, str] = {}
    prompts: Mapping[str, str] = {"code": SYSTEM}
    probes: tuple[str, ...] = ("Write a C++ function `int add(int a, int b)` that returns the sum.",)
    controls: tuple[str, ...] = ("int broken( {\n",)

    def __init__(self, options: CppOptions | None = None) -> None:
        self.options = options

    def configure(self, options: Json) -> Domain:
        """The pack for one library."""
        return CppPack(decode_options(CppOptions, options, prefix="options"))

    @property
    def license(self) -> str:
        """Of the tasks this pack makes."""
        return read_headers(self.options).license if self.options else ""

    @property
    def identity(self) -> str:
        """What the tasks depend on beside the family and the seed."""
        options = self._require_options()
        snapshot = read_headers(options)
        named = {key: value for key, value in msgspec.to_builtins(options, enc_hook=str).items() if key != "path"}
        return digest((snapshot.digest, snapshot.commit, named))[:24]

    def _require_options(self) -> CppOptions:
        if self.options is None:
            raise ConfigError("options", 'name the library: options = { path = "../my-library" }')
        return self.options

    def tasks(self, family: str, seed: int, n: int) -> Iterator[Task]:
        """`n` tasks of a family, or as many as the headers give."""
        if family not in FAMILIES:
            raise UsageError(f"the pack cpp has no family {family!r}; it has: {', '.join(FAMILIES)}")
        yield from iterate_tasks(_survey(self._require_options()), family, seed, n)

    def extract(self, text: str) -> tuple[Block, ...]:
        """The code of an answer."""
        code = checks.read_code(text)
        return (Block(kind="cpp", text=code),) if code else ()

    def check(self, task: Task, answer: str) -> Verdict:
        """Compile the answer after the library's headers."""
        return checks.check(task, answer)

    def check_seconds(self, task: Task) -> float:
        """Two runs of the compiler at most."""
        return 2.0 * msgspec.convert(task.spec, CppSpec).headers.compile_s + 5

    def lint(self, text: str) -> tuple[Finding, ...]:
        """Only a compiler that has the headers can say."""
        return ()

    def annotate(self, record: Record) -> tuple[str, ...]:
        """The names a record speaks of."""
        return tuple(sorted({name for m in record.messages for name in _NAME.findall(m.text)}))

    def wrong_answers(self, task: Task) -> Iterator[tuple[str, str]]:
        """Answers that must be rejected."""
        spec = msgspec.convert(task.spec, CppSpec)
        yield "empty", ""
        yield "prose", "The function should be called as its header says."
        yield "broken code", fence("int broken( {")
        if task.family == "signature":
            short = spec.name.rpartition("::")[2]
            yield "another name", fence(f"void not_{short}();")
            yield "another type", fence(f"struct Unrelated *{short}(struct Unrelated *);")
            return
        for fault in spec.faults:
            yield fault.kind, fence(fault.code)
        yield "only declared", fence(f"{spec.prototype};")
        yield "calls nothing", fence(f"{spec.prototype} {{ throw 1; }}")


@functools.lru_cache(maxsize=4)
def _survey(options: CppOptions) -> CppSurvey:
    return survey(options)


DOMAIN = CppPack()
