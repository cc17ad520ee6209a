"""`afs expert new NAME --from PATH…`: looks at what is there and writes one readable recipe.

afs expert new flask --from ~/src/flask
afs run @flask.toml
afs ask "…" --expert flask
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import ClassVar, Final

from afs import jsonl, pipeline
from afs.checks.check_parser import read_check, require_check
from afs.config import Config, Weight
from afs.errors import ConfigError, DataError
from afs.expert import draft
from afs.expert.machine_options import SCRATCH, Machine, look_around
from afs.expert.own_tests import OwnTests, run_own_tests
from afs.expert.survey import SourceSurvey, survey_path
from afs.expert.toml_text import write_recipe
from afs.expert.training_budget import plan_run
from afs.types import Value
from afs.workspace import Workspace

__all__ = ["ExpertNewConfig", "expert_new"]

_NAME = re.compile(r"^[a-z0-9]+(?:-[a-z0-9]+)*$")


class ExpertNewConfig(Config, frozen=True, kw_only=True, rename={"from_": "from"}):
    """Write an expert's recipe."""

    positional: ClassVar[tuple[str, ...]] = ("name",)
    name: str
    """Name of the expert: lower-case words joined by `-`."""
    from_: tuple[Path, ...]
    """Repositories, folders, logs, files of questions and answers."""
    base: str = ""
    """Base model: a stored one, a folder, a hub id, `scratch`; empty: a stored one, else one for the card."""
    check: str = ""
    """Your own check of its answers, such as `python -m py_compile {file}`; see docs/how-to/checks.md."""
    hours: Weight = 0.5
    """Most hours of training."""
    tests: bool = True
    """Run the tests of Python projects in the sandbox: where they pass and notice faults, they judge answers."""
    out: Path | None = None
    """Recipe to write; none: NAME.toml in this folder."""


class ExpertDraft(Value, frozen=True, kw_only=True):
    """What was found and what was written."""

    recipe: str
    name: str
    sources: tuple[SourceSurvey, ...]
    machine: Machine
    plan: tuple[str, ...]
    tests: tuple[OwnTests, ...]
    """Projects whose tests were run, and what they are good for."""
    unverified: tuple[str, ...]
    steps: int

    def text(self) -> str:
        """What is there, the plan, what could not be verified, and what to type."""
        found = [line for source in self.sources for line in describe_source(source)]
        return "\n".join(
            [
                *found,
                *map(describe_tests, self.tests),
                describe_machine(self.machine),
                "",
                "plan",
                *(f"  {line}" for line in self.plan),
                "",
                "not verified, and why",
                *(f"  {line}" for line in self.unverified),
                "",
                f"{self.recipe}: {self.steps} steps. Read it, change what you like, then:",
                f"  afs run @{self.recipe}",
                f'  afs ask "…" --expert {self.name}',
            ]
        )


def expert_new(config: ExpertNewConfig, workspace: Workspace) -> ExpertDraft:
    """Look, decide, write the recipe."""
    if not _NAME.match(config.name):
        raise ConfigError("name", f"want lower-case words joined by `-`, got {config.name!r}")
    if not config.from_:
        raise ConfigError("from", "want at least one path")
    if config.check:
        require_check(read_check(config.check, Path.cwd(), workspace.named_checks))
    sources = tuple(survey_path(path) for path in config.from_)
    records = sum(source.records for source in sources)
    if not records:
        raise DataError(f"nothing to learn from in {', '.join(map(str, config.from_))}: no reader finds a record there")
    machine = look_around(workspace, config.base)
    tokens = sum(source.mean_tokens(kind) * n for source in sources for kind, n in source.kinds.items()) / records
    budget = plan_run(machine, workspace, int(records * 0.8), tokens, config.hours)
    made = draft.RecipeDraft(
        config.name, sources, machine, budget, draft.write_system(config.name, sources), config.check
    )
    paths = [source.path for source in sources if source.tests == "pytest"] if config.tests else []
    tried = tuple(run_own_tests(path) for path in paths)
    unverified = tuple(list_unverified(made, tried))
    made = made._replace(unverified=unverified, tests=tuple(one for one in tried if one.usable))
    path = config.out or Path(f"{config.name}.toml")
    steps = list(draft.list_steps(made))
    jsonl.replace(path, write_recipe(list(_head(made, path, unverified)), steps).encode())
    pipeline.read_recipe(path)
    return ExpertDraft(
        recipe=str(path),
        name=config.name,
        sources=sources,
        machine=machine,
        plan=budget.lines,
        tests=tried,
        unverified=unverified,
        steps=len(steps),
    )


def _head(made: draft.RecipeDraft, path: Path, unverified: tuple[str, ...]) -> Iterator[str]:
    yield f"An expert on {made.name}, written by `afs expert new`; change what you like"
    yield f'afs run @{path}, then: afs ask "…" --expert {made.name}'
    yield ""
    for source in made.sources:
        yield from describe_source(source)
    yield from map(describe_tests, made.tests)
    yield describe_machine(made.machine)
    yield ""
    yield from (f"plan: {line}" for line in made.budget.lines)
    yield ""
    yield from (f"not verified: {line}" for line in unverified)


def describe_source(source: SourceSurvey) -> Iterator[str]:
    """One path in a few lines."""
    kinds = ", ".join(f"{count} {kind}" for kind, count in source.kinds.items()) or "no record"
    more = " of the first files" if source.is_partial else ""
    yield f"{source.path}: {kinds}{more} (reader {source.reader}, license {source.license or 'unknown'})"
    languages = ", ".join(f"{name} {count}" for name, count in list(source.languages.items())[:5]) or "none known"
    tests = f"tests: {source.tests}" if source.tests else "no tests found"
    commits = f"; {source.commits} commits" if source.commits else ""
    yield f"  files by language: {languages}; {tests}{commits}"
    if source.unread:
        rows = ", ".join(f"{name} {count} of {source.languages[name]}" for name, count in source.unread.items())
        yield f"  files that give no record: {rows}"
    if source.note:
        yield f"  left out: {source.note}"


def describe_tests(tests: OwnTests) -> str:
    """What a project's own tests are good for."""
    if not tests.usable:
        return f"  tests of {Path(tests.path).name}: not used ({tests.problem})"
    return (
        f"  tests of {Path(tests.path).name}: {tests.passing} pass in the sandbox, {tests.failing} fail; "
        f"they notice faults in {tests.guarded} of {tests.tried} functions tried"
    )


_CHECKS: Final[Mapping[str, str]] = {
    "Python": "python -m py_compile {file}",
    "SQL": "sqlite3 -batch -bail :memory: < {file}",
    "JSON": "python -m json.tool {file}",
    "shell": "bash -n {file}",
    "Go": "gofmt -e < {file}",
    "C": "gcc -fsyntax-only {file}",
    "C++": "g++ -fsyntax-only {file}",
    "JavaScript": "node --check {file}",
    "PHP": "php -l {file}",
    "Ruby": "ruby -c {file}",
    "Lua": "luac -p {file}",
}
"""The smallest useful check of a language's code: whether it can be read at all."""


def suggest_check(made: draft.RecipeDraft) -> str:
    """A check for the language that most of the code is in."""
    languages = sum((Counter(source.languages) for source in made.sources), Counter[str]())
    top = languages.most_common(1) if draft.is_mostly_code(made.sources) else []
    check = next((_CHECKS.get(name, "") for name, _ in top), "")
    return f" (a start, which looks at syntax only: --check '{check}')" if check else " (--check)"


def describe_machine(machine: Machine) -> str:
    """The machine in one line."""
    device = f"{machine.device}, {machine.memory_gib:g} GiB" if machine.has_gpu else f"no GPU, {machine.cores} cores"
    keys = ", ".join(machine.keys) or "none"
    return f"machine: {device}; keys: {keys}; base: {machine.base} ({machine.why_base})"


def list_unverified(made: draft.RecipeDraft, tried: tuple[OwnTests, ...]) -> Iterator[str]:
    """What nothing checks by execution, and the reason."""
    kinds = made.kinds
    judged = [kind for kind in kinds if made.check and kind in ("code", "pair", "dialogue")]
    words = [f"{kinds[kind]} {kind}" for kind in kinds if kind not in judged]
    if words:
        why = "your check does not read them" if made.check else f"no check was given{suggest_check(made)}"
        yield f"{', '.join(words)}: answers are compared with the source's own text by words, because {why}"
    for source in made.sources:
        own = next((one for one in tried if one.path == source.path), None)
        if own is not None and not own.usable:
            yield f"{source.tests} of {Path(source.path).name} judges nothing: {own.problem}"
        elif source.tests and own is None:
            name = Path(source.path).name
            yield f"{source.tests} of {name}: its tests were not run; name them in a check to use them"
        if not source.license:
            yield f"license of {source.path}: no license file is known, so nothing made of it is exported"
        if source.is_partial:
            yield f"{source.path}: more files than were looked at, so the counts are a lower bound"
    if made.machine.base == SCRATCH:
        yield "usefulness: a model from nothing shows the pipeline, not an expert"
    if made.machine.keys:
        yield f"teachers ({', '.join(made.machine.keys)}): not asked, because that costs money; add a `generate` step"
