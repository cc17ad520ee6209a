"""The pack object. A configured one makes tasks of its repository; any one judges them."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator, Mapping

import msgspec

from afs.config import decode_options
from afs.domains.base import Block, Domain, Finding, PackVerb
from afs.domains.repo import answers, checks
from afs.domains.repo.coverage_survey import Survey, survey
from afs.domains.repo.families import FAMILIES, NAME, SYSTEM, VERSION, iterate_tasks
from afs.domains.repo.options import RepoOptions
from afs.domains.repo.past_fixes import iterate_fixes
from afs.domains.repo.spec import RepoSpec
from afs.domains.repository_snapshot import read_snapshot
from afs.errors import ConfigError, UsageError
from afs.types import Json, Record, Task, Verdict, digest

_FAMILIES = (*FAMILIES, "history")
_NAME = re.compile(r"`([A-Za-z_][\w.]{2,})`")


class Repo:
    """See `afs.domains.base.Domain` for what each member is for."""

    name = NAME
    version = VERSION
    families: tuple[str, ...] = _FAMILIES
    verbs: Mapping[str, PackVerb] = {
        "scan": PackVerb(
            config="afs.domains.repo.scan_command:ScanConfig",
            function="afs.domains.repo.scan_command:scan",
            help="what a Python repository and its tests give: functions, tests, tasks",
        )
    }
    dialects: tuple[str, ...] = ()
    suites: Mapping[str, str] = {}
    prompts: Mapping[str, str] = {"code": SYSTEM}
    probes: tuple[str, ...] = ("Write a Python function `add(a, b)` that returns the sum.",)
    controls: tuple[str, ...] = ("def broken(:\n",)

    def __init__(self, options: RepoOptions | None = None) -> None:
        self.options = options

    def configure(self, options: Json) -> Domain:
        """The pack for one repository."""
        return Repo(decode_options(RepoOptions, options, prefix="options"))

    @property
    def license(self) -> str:
        """Of the tasks this pack makes."""
        return _survey(self.require_options()).snapshot.license if self.options else ""

    @property
    def identity(self) -> str:
        """What the tasks depend on beside the family and the seed."""
        options = self.require_options()
        snapshot = read_snapshot(options.path, options.commit, options.license)
        table = msgspec.to_builtins(options, enc_hook=str)
        named = {key: value for key, value in table.items() if key not in ("path", "python")}
        return digest((snapshot.digest, snapshot.commit, named))[:24]

    def require_options(self) -> RepoOptions:
        """The options, or what is missing."""
        if self.options is None:
            raise ConfigError("options", 'name the repository: options = { path = "../my-project" }')
        return self.options

    def tasks(self, family: str, seed: int, n: int) -> Iterator[Task]:
        """`n` tasks of a family, or as many as the repository gives."""
        if family not in _FAMILIES:
            raise UsageError(f"the pack repo has no family {family!r}; it has: {', '.join(_FAMILIES)}")
        options = self.require_options()
        if family == "history":
            yield from iterate_fixes(options, options.path.resolve().name, n)
            return
        found = _survey(options)
        found.snapshot.store()
        yield from iterate_tasks(found, family, seed, n)

    def extract(self, text: str) -> tuple[Block, ...]:
        """The code of an answer."""
        code = answers.read_code(text)
        return (Block(kind="python", text=code),) if code.strip() else ()

    def check(self, task: Task, answer: str) -> Verdict:
        """Run the project's tests on the answer."""
        return checks.check(task, answer)

    def check_seconds(self, task: Task) -> float:
        """Two runs of tests at most; a value is only compared."""
        return 0.0 if task.family == "call" else 2 * (checks.LIMIT_S + 5)

    def lint(self, text: str) -> tuple[Finding, ...]:
        """Code that does not parse."""
        try:
            ast.parse(answers.read_code(text))
        except (SyntaxError, ValueError, RecursionError) as error:
            return (Finding(rule="syntax", message=str(error), line=getattr(error, "lineno", 0) or 0),)
        return ()

    def annotate(self, record: Record) -> tuple[str, ...]:
        """The names a record speaks of."""
        return tuple(sorted({name for m in record.messages for name in _NAME.findall(m.text)}))

    def wrong_answers(self, task: Task) -> Iterator[tuple[str, str]]:
        """Answers that must be rejected."""
        spec = msgspec.convert(task.spec, RepoSpec)
        yield "empty", ""
        yield "prose", "The function should be changed as described above."
        yield "broken code", "```python\ndef broken(:\n```"
        if task.family == "call":
            yield "another value", "`['no', 'such', 'value']`"
            return
        short = spec.name.rpartition(".")[2]
        yield "another function", f"```python\ndef not_{short}():\n    return None\n```"
        if task.family == "test":
            yield "tests nothing", "```python\ndef test_nothing():\n    assert True\n```"
            yield "always fails", "```python\ndef test_never():\n    assert False\n```"
        elif spec.fault:
            yield "the fault itself", f"```python\n{spec.fault}```"
        if task.family in ("complete", "fix", "history"):
            yield "no body", f"```python\ndef {short}(*args, **kwargs):\n    raise NotImplementedError\n```"
            yield "ends the run", f"```python\nimport os\ndef {short}(*args, **kwargs):\n    os._exit(0)\n```"


@functools.lru_cache(maxsize=4)
def _survey(options: RepoOptions) -> Survey:
    return survey(read_snapshot(options.path, options.commit, options.license), options)


DOMAIN = Repo()
