"""A recipe: verbs in order. A step whose config and inputs are the same as in a finished run is skipped.

    [samples]              # a step, named after its verb unless `verb` says otherwise
    verb = "generate"
    domain = "sums"

    [curate]
    source = "sums-raw"

The inputs of a step are the results of the steps before it: when one of them changes, all later steps run again.
A step with `beside = true` may run at the same time as the one before it, in a process of its own; with `jobs = 1` in
`afs.toml`, or one processor, they run in turn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import msgspec

from afs import plugins, runs, verbs
from afs.config import Config
from afs.errors import ConfigError, UsageError
from afs.recipe_checks import find_problems
from afs.recipe_file import RecipeStep, decode_steps, read_recipe, resolve_recipe
from afs.step_process import run_beside
from afs.types import Value, digest
from afs.workspace import FOLDER_OF, MANIFEST, Workspace

__all__ = ["RecipeStep", "RunConfig", "StepOutcome", "read_recipe", "run_recipe"]


class RunConfig(Config, frozen=True, kw_only=True):
    """Run a recipe."""

    positional: ClassVar[tuple[str, ...]] = ("recipe",)
    recipe: Path
    """Recipe file; a leading `@` is accepted."""
    from_step: str = ""
    """Redo this step and all later ones."""
    dry_run: bool = False
    """Check every step and report all problems at once, then print what would be done."""
    scale: str = ""
    """Size of the run, where the recipe has sizes: `tiny` (seconds to minutes on a CPU), `small`, or `full`."""
    set: dict[str, str] = {}
    """Values of the recipe's variables, e.g. `project=../my-project`."""


class StepOutcome(Value, frozen=True, kw_only=True):
    """The outcome of a step."""

    step: str
    verb: str
    outcome: str
    """done, skipped, or would run."""
    result: str
    run: str


def run_recipe(config: RunConfig, workspace: Workspace) -> list[StepOutcome]:
    """Run the steps of a recipe file."""
    path = Path(str(config.recipe).removeprefix("@"))
    if config.dry_run:
        _refuse_problems(path, config, workspace)
    steps = read_recipe(path, config.scale, config.set)
    return run_steps(steps, workspace, from_step=config.from_step, dry_run=config.dry_run)


def _refuse_problems(path: Path, config: RunConfig, workspace: Workspace) -> None:
    """All that is wrong with a recipe, in one error."""
    text = resolve_recipe(path, config.scale, config.set)
    steps, errors = decode_steps(text)
    decoded = {step.name for step in steps}
    assumed = [str(table.get("name", "")) for name, table in text.tables.items() if name not in decoded]
    problems = [str(error).removeprefix(f"{path}: ") for error in errors] + find_problems(steps, workspace, assumed)
    if problems:
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        raise UsageError("\n".join([f"{path}: {count}", *(f"  {line}" for line in problems)]))


def run_steps(
    steps: list[RecipeStep], workspace: Workspace, *, from_step: str = "", dry_run: bool = False
) -> list[StepOutcome]:
    """Run steps in order, skipping finished ones."""
    names = [step.name for step in steps]
    if from_step and from_step not in names:
        raise ConfigError("from_step", f"no step is called {from_step!r}{plugins.suggest_name(from_step, names)}")
    plugins.require(need for step in steps for need in step.config.late_needs())
    redo_at = names.index(from_step) if from_step else len(steps)
    before = ""
    outcomes: list[StepOutcome] = []
    for group in _group_steps(steps):
        salt = {"after": before}
        first = len(outcomes)
        done = {s.name: _find_done(workspace, s, salt) for n, s in enumerate(group, first) if n < redo_at}
        left = [step for step in group if done.get(step.name) is None]
        if dry_run:
            redo_at = 0 if left else redo_at
        else:
            _do_steps(left, workspace, salt)
        for step in group:
            outcome, run = "skipped", done.get(step.name)
            if run is None and not dry_run:
                outcome, run = "done", runs.find(workspace, step.verb, runs.run_digest(step.config, salt))
                assert run is not None, f"{step.verb} left no run"
            if run is not None:
                before = digest([before, result_digest(workspace, run.state.result) or run.state.digest])
            outcomes.append(_describe_outcome(step, outcome, run))
    return outcomes


def _group_steps(steps: Sequence[RecipeStep]) -> list[list[RecipeStep]]:
    """The steps in order; those that may run at the same time share a group."""
    groups: list[list[RecipeStep]] = []
    for step in steps:
        if step.beside and groups:
            groups[-1].append(step)
        else:
            groups.append([step])
    return groups


def _find_done(workspace: Workspace, step: RecipeStep, salt: Mapping[str, str]) -> runs.Run | None:
    """The finished run of a step, if its result is still stored."""
    run = runs.find(workspace, step.verb, runs.run_digest(step.config, salt))
    if run is None or run.state.status != "done" or not result_digest(workspace, run.state.result):
        return None
    workspace.log.event("notice", text=f"· {step.name}: done before ({run.state.result or run.id})")
    return run


def _do_steps(steps: Sequence[RecipeStep], workspace: Workspace, salt: Mapping[str, str]) -> None:
    """Do the steps of a group: the first here, the others beside it where there are processors for them."""
    jobs = min(len(steps), workspace.jobs)
    here, others = (steps[:1], steps[1:]) if jobs > 1 else (steps, ())
    with run_beside(others, workspace, salt, jobs - 1):
        for step in here:
            with workspace.log.phase(step.name):
                verbs.do(step.verb, step.config, workspace, salt=salt)


def _describe_outcome(step: RecipeStep, outcome: str, run: runs.Run | None) -> StepOutcome:
    if run is None:
        return StepOutcome(step=step.name, verb=step.verb, outcome="would run", result="", run="")
    return StepOutcome(step=step.name, verb=step.verb, outcome=outcome, result=run.state.result, run=run.id)


class _Digested(msgspec.Struct):
    """The digest of a manifest."""

    digest: str = ""


def result_digest(workspace: Workspace, result: str) -> str:
    """The digest of a run's result; `none` for a run that stores nothing, empty when the result is no longer stored."""
    if not result:
        return "none"
    kind, _, ref = result.partition(":")
    name, _, version = ref.partition("@")
    path = workspace.root / FOLDER_OF.get(kind, kind) / name / version / MANIFEST
    try:
        return msgspec.json.decode(path.read_bytes(), type=_Digested).digest or digest(path.read_text())
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return ""
