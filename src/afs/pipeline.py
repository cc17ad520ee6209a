"""A recipe: verbs in order. A step whose config and inputs are the same as in a finished run is skipped.

    [samples]              # a step, named after its verb unless `verb` says otherwise
    verb = "generate"
    domain = "sums"

    [curate]
    source = "sums-raw"

The inputs of a step are the results of the steps before it: when one of them changes, all later steps run again.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import msgspec

from afs import plugins, runs, verbs
from afs.config import Config, decode, load_toml
from afs.errors import ConfigError
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
    """Only print what would be done."""


class RecipeStep(Value, frozen=True, kw_only=True):
    """One table of a recipe."""

    name: str
    verb: str
    config: Config


class StepOutcome(Value, frozen=True, kw_only=True):
    """The outcome of a step."""

    step: str
    verb: str
    outcome: str
    """done, skipped, or would run."""
    result: str
    run: str


def read_recipe(path: Path) -> list[RecipeStep]:
    """Decode every step before the first one runs."""
    steps = []
    for name, table in load_toml(path).items():
        if not isinstance(table, dict):
            raise ConfigError(name, f"want a table named after a verb, got {table!r}", file=str(path))
        table = dict(table)
        verb = str(table.pop("verb", name))
        if verb not in verbs.VERBS:
            raise ConfigError(
                f"{name}.verb", f"no verb is called {verb!r}{plugins.suggest_name(verb, verbs.VERBS)}", file=str(path)
            )
        config = decode(verbs.config_class(verbs.VERBS[verb]), table, file=str(path), prefix=name)
        steps.append(RecipeStep(name=name, verb=verb, config=config))
    if not steps:
        raise ConfigError("", "a recipe needs at least one table named after a verb", file=str(path))
    return steps


def run_recipe(config: RunConfig, workspace: Workspace) -> list[StepOutcome]:
    """Run the steps of a recipe file."""
    path = Path(str(config.recipe).removeprefix("@"))
    return run_steps(read_recipe(path), workspace, from_step=config.from_step, dry_run=config.dry_run)


def run_steps(
    steps: list[RecipeStep], workspace: Workspace, *, from_step: str = "", dry_run: bool = False
) -> list[StepOutcome]:
    """Run steps in order, skipping finished ones."""
    names = [step.name for step in steps]
    if from_step and from_step not in names:
        raise ConfigError("from_step", f"no step is called {from_step!r}{plugins.suggest_name(from_step, names)}")
    plugins.require(need for step in steps for need in step.config.late_needs())
    redo_at = names.index(from_step) if from_step else len(steps)
    before, outcomes = "", []
    for number, step in enumerate(steps):
        salt = {"after": before}
        found = runs.find(workspace, step.verb, runs.run_digest(step.config, salt))
        done = found is not None and found.state.status == "done" and result_digest(workspace, found.state.result)
        if done and number < redo_at:
            assert found is not None
            outcome, run = "skipped", found
            workspace.log.event("notice", text=f"· {step.name}: done before ({run.state.result or run.id})")
        elif dry_run:
            outcomes.append(StepOutcome(step=step.name, verb=step.verb, outcome="would run", result="", run=""))
            redo_at = number
            continue
        else:
            with workspace.log.phase(step.name):
                verbs.do(step.verb, step.config, workspace, salt=salt)
            after = runs.find(workspace, step.verb, runs.run_digest(step.config, salt))
            assert after is not None, f"{step.verb} left no run"
            outcome, run = "done", after
        before = digest([before, result_digest(workspace, run.state.result) or run.state.digest])
        outcomes.append(
            StepOutcome(step=step.name, verb=step.verb, outcome=outcome, result=run.state.result, run=run.id)
        )
    return outcomes


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
