"""`afs quickstart`: the full pipeline on this machine, with a pack's recipe, in minutes.

Rerun it to resume; finished steps are skipped. It computes no figure itself: the table is read from the stored reports,
and the page names the source of each.
"""

from __future__ import annotations

import shlex
import time
from pathlib import Path
from typing import ClassVar

from afs import answer_verifier, datasets, jsonl, pipeline, plugins
from afs.config import Config
from afs.council import open_council
from afs.errors import UsageError
from afs.quickstart.quickstart_page import render
from afs.quickstart.results import BeforeAfter, CouncilAnswer, QuickstartResults, read_before_after, read_losses
from afs.types import Task, Value
from afs.workspace import Workspace

__all__ = ["QuickstartConfig", "quickstart"]

PAGE = "quickstart.html"


class QuickstartConfig(Config, frozen=True, kw_only=True):
    """Run the full pipeline."""

    positional: ClassVar[tuple[str, ...]] = ("folder",)
    workspace_field: ClassVar[str] = "folder"
    folder: Path = Path("quickstart")
    """Workspace to create or to resume in."""
    pack: str = plugins.FIRST_PACK
    """Pack whose quick start to run."""


class QuickstartResult(Value, frozen=True, kw_only=True):
    """The result of `afs quickstart`."""

    table: tuple[BeforeAfter, ...]
    answers: tuple[CouncilAnswer, ...]
    page: str
    workspace: str
    seconds: float

    def text(self) -> str:
        """The table before and after training, where the files are, and what to try next."""
        width = max(len(exam.title) for exam in self.table)
        rows = [f"{'':<{width}}  {'before':<22} {'after':<22} items"]
        rows += [f"{e.title:<{width}}  {e.before_text:<22} {e.after_text:<22} {e.items}" for e in self.table]
        answers = [f"  {a.question!r} → {a.answer!r} ({a.expert}, {a.checked})" for a in self.answers]
        flag = f"--workspace {self.workspace}"
        tries = [
            *(f"afs ask {shlex.quote(answer.question)} {flag}" for answer in self.answers[:1]),
            f"afs models list {flag}",
            f"afs data list {flag}",
            f"afs serve {flag}        # then any OpenAI client at http://127.0.0.1:8080/v1",
            f"afs run @my-recipe.toml {flag}   # your own pipeline: start from recipes/",
        ]
        return "\n".join(
            [
                "Solved, judged by execution, with 95 % confidence intervals:",
                *rows,
                "",
                "The council was asked:",
                *answers,
                "",
                f"Report    {self.page}",
                f"Workspace {self.workspace}  (records, datasets, runs, models, reports)",
                f"Took      {self.seconds:.0f} s",
                "",
                "Try next:",
                *(f"  {line}" for line in tries),
            ]
        )


def quickstart(config: QuickstartConfig) -> QuickstartResult:
    """Run the pack's recipe, ask the council, write the page."""
    started = time.monotonic()
    pack = answer_verifier.load_pack(config.pack)
    recipe = getattr(pack, "recipe", None)
    if recipe is None:
        raise UsageError(f"the pack {config.pack} has no quick start: it defines no `recipe`")
    workspace = Workspace.create(config.folder)
    steps = pipeline.read_recipe(Path(recipe))
    done = pipeline.run_steps(steps, workspace)
    with workspace.log.phase("ask the council"):
        answers = tuple(_ask(workspace, _questions(workspace, steps)))
    table = tuple(read_before_after(workspace, done))
    results = QuickstartResults(
        pack=config.pack, steps=tuple(done), exams=table, answers=answers, losses=read_losses(workspace, done)
    )
    page = workspace.root / "reports" / PAGE
    jsonl.replace(page, render(workspace, results).encode())
    return QuickstartResult(
        table=table,
        answers=answers,
        page=str(page),
        workspace=str(workspace.root),
        seconds=round(time.monotonic() - started, 1),
    )


def _questions(workspace: Workspace, steps: list[pipeline.RecipeStep]) -> list[Task]:
    """Three held-out tasks of the experts, taking turns."""
    names = [duty.source for step in steps for duty in getattr(step.config, "duties", ())]
    pools = []
    for name in names:
        dataset = datasets.load(workspace, name)
        pools.append([r.task for r in datasets.read(workspace, dataset, "test") if r.task is not None])
    turns = [(number % len(pools), number // len(pools)) for number in range(3)] if pools else []
    return [pools[pool][place] for pool, place in turns if place < len(pools[pool])]


def _ask(workspace: Workspace, tasks: list[Task]) -> list[CouncilAnswer]:
    council = open_council(workspace)
    answers = []
    for task in tasks:
        reply = council.ask(datasets.task_messages(task.prompt, task.system), task=task)
        verdict = reply.verdict
        checked = "not checked" if verdict is None or verdict.ok is None else "passes" if verdict.ok else "fails"
        answers.append(
            CouncilAnswer(
                question=task.prompt,
                answer=reply.text,
                expert=reply.expert or "fallback",
                probability=reply.route.get(reply.expert),
                checked=f"{checked} its check" if checked != "not checked" else checked,
                seconds=round(reply.completion.seconds, 3),
            )
        )
    return answers
