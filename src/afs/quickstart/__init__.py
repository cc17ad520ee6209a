"""`afs quickstart`: the whole road on this machine, with a pack's own recipe, in minutes.

Started again it skips what is done; killed anywhere it goes on. It makes no number of its own: the table is read from
the stored reports, the page shows where each came from.
"""

from __future__ import annotations

import shlex
import time
from pathlib import Path
from typing import ClassVar

from afs import datasets, jsonl, pipeline, plugins, verify
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
    """Run the whole road."""

    positional: ClassVar[tuple[str, ...]] = ("folder",)
    folder: Path = Path("quickstart")
    """Workspace to make or to go on in."""
    pack: str = plugins.FIRST_PACK
    """Pack whose quick start is run."""


class QuickstartResult(Value, frozen=True, kw_only=True):
    """What `afs quickstart` leaves."""

    table: tuple[BeforeAfter, ...]
    answers: tuple[CouncilAnswer, ...]
    page: str
    workspace: str
    seconds: float

    def text(self) -> str:
        """The table before and after, where everything lies, and what to try next."""
        width = max(len(exam.title) for exam in self.table)
        rows = [f"{'':<{width}}  {'before':<22} {'after':<22} items"]
        rows += [f"{e.title:<{width}}  {e.before_text:<22} {e.after_text:<22} {e.items}" for e in self.table]
        answers = [f"  {a.question!r} → {a.answer!r} ({a.expert}, {a.checked})" for a in self.answers]
        there = f"--workspace {self.workspace}"
        tries = [
            *(f"afs ask {shlex.quote(answer.question)} {there}" for answer in self.answers[:1]),
            f"afs models list {there}",
            f"afs data list {there}",
            f"afs serve {there}        # then any OpenAI client at http://127.0.0.1:8080/v1",
            f"afs run @my-recipe.toml {there}   # your own road: start from recipes/",
        ]
        return "\n".join(
            [
                "Solved by execution, with 95 % intervals:",
                *rows,
                "",
                "The council was asked:",
                *answers,
                "",
                f"Report    {self.page}",
                f"Workspace {self.workspace}  (records, datasets, runs, models, reports)",
                f"Took      {self.seconds:.0f} s this time",
                "",
                "Try next:",
                *(f"  {line}" for line in tries),
            ]
        )


def quickstart(config: QuickstartConfig) -> QuickstartResult:
    """Carry out the pack's recipe, ask the council, write the page."""
    started = time.monotonic()
    pack = verify.load_pack(config.pack)
    recipe = getattr(pack, "recipe", None)
    if recipe is None:
        raise UsageError(f"the pack {config.pack} has no quick start; it needs a `recipe`")
    workspace = Workspace.create(config.folder)
    steps = pipeline.read_recipe(Path(recipe))
    done = pipeline.run_steps(steps, workspace)
    with workspace.log.phase("ask the council"):
        answers = tuple(_ask(workspace, _questions(workspace, steps)))
    table = tuple(read_before_after(workspace, done))
    told = QuickstartResults(
        pack=config.pack, steps=tuple(done), exams=table, answers=answers, losses=read_losses(workspace, done)
    )
    page = workspace.root / "reports" / PAGE
    jsonl.replace(page, render(workspace, told).encode())
    return QuickstartResult(
        table=table,
        answers=answers,
        page=str(page),
        workspace=str(workspace.root),
        seconds=round(time.monotonic() - started, 1),
    )


def _questions(workspace: Workspace, steps: list[pipeline.RecipeStep]) -> list[Task]:
    """Three held-out tasks of the experts' duties, in turn."""
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
