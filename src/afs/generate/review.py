"""`afs generate review`: a person looks at accepted and rejected answers; decisions are records and change nothing.

They lie in `campaigns/NAME/reviews.jsonl`; the report says how far person and verdict agree.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, Literal

import msgspec

from afs import jsonl
from afs.config import Config, Positive
from afs.errors import UsageError
from afs.generate.attempts import read_attempts
from afs.generate.config import FOLDER
from afs.intervals import share_interval
from afs.model_calls.ledger_reader import reading
from afs.printable import show_controls
from afs.types import Interval, Task, Value
from afs.workspace import Workspace

_decode_task = msgspec.msgpack.Decoder(Task).decode
DECISIONS: dict[str, Literal["accept", "reject", "edit"]] = {"a": "accept", "r": "reject", "e": "edit"}
"""First letter -> decision."""


class ReviewConfig(Config, frozen=True, kw_only=True):
    """Look at a sample of a campaign's answers and decide about each."""

    positional: ClassVar[tuple[str, ...]] = ("name",)
    name: str
    """The campaign."""
    count: Positive = 10
    """Answers to look at, half of them accepted by the verdict and half rejected, in a mixed order."""
    seed: int = 0
    """Another sample."""
    decisions: Path | None = None
    """Take decisions from a JSONL file (`piece`, `decision`, `reason`, `edited`) instead of the keyboard."""


class Review(Value, frozen=True, kw_only=True):
    """One decision of a person."""

    piece: str
    """Key of the sample in the campaign."""
    decision: Literal["accept", "reject", "edit"]
    reason: str = ""
    edited: str = ""
    """The answer as it should be."""
    verdict: bool = False
    """What the check had said."""
    at: float = 0.0
    by: str = ""
    """Whose token it was, for a decision made in the dashboard."""


class Agreement(Value, frozen=True, kw_only=True):
    """How far person and verdict agree."""

    campaign: str
    reviewed: int
    agreement: Interval
    wrongly_accepted: int
    """Accepted by the verdict, rejected or edited by the person."""
    wrongly_rejected: int
    left: int
    """Sampled and not decided."""

    def text(self) -> str:
        """In two lines."""
        share = self.agreement
        shown = "unknown" if share.value is None else f"{share.value:.0%} [{share.low:.0%}, {share.high:.0%}]"
        text = f"{self.reviewed} answers reviewed; person and verdict agree on {shown}"
        missed = f"{self.wrongly_rejected} rejected ones accepted"
        return f"{text}\n{self.wrongly_accepted} accepted ones were rejected or edited, {missed}"


class Sampled(Value, frozen=True, kw_only=True):
    """An answer to be looked at."""

    key: str
    prompt: str
    answer: str
    verdict: bool


def review(config: ReviewConfig, workspace: Workspace) -> Agreement:
    """Show answers without their verdicts, note the decisions, and compare."""
    folder = workspace.root / FOLDER / config.name
    if not (folder / "calls.db").is_file():
        raise UsageError(f"no campaign is called {config.name!r}")
    path = folder / "reviews.jsonl"
    known = {one.piece: one for one in jsonl.read(path, Review)} if path.exists() else {}
    sampled = [one for one in _sample(config, folder) if one.key not in known]
    given = {one.piece: one for one in jsonl.read(config.decisions, Review)} if config.decisions else None
    left = len(sampled)
    for one in sampled:
        decision = given.get(one.key) if given is not None else _ask(one)
        if decision is None:
            break
        decided = msgspec.structs.replace(decision, piece=one.key, verdict=one.verdict, at=time.time())
        append_review(workspace, config.name, decided)
        left -= 1
    return agreement(config.name, path, left)


def append_review(workspace: Workspace, campaign: str, decided: Review) -> None:
    """Append a decision to the campaign's reviews; one writer at a time."""
    with workspace.lock(f"review-{campaign}", verb="generate review"):
        jsonl.append(workspace.root / FOLDER / campaign / "reviews.jsonl", [decided])


def agreement(name: str, path: Path, left: int = 0) -> Agreement:
    """What the decisions so far say."""
    reviews = list({one.piece: one for one in jsonl.read(path, Review)}.values()) if path.exists() else []
    accepted = [one for one in reviews if one.verdict]
    wrong = sum(one.decision != "accept" for one in accepted)
    missed = sum(one.decision == "accept" for one in reviews if not one.verdict)
    return Agreement(
        campaign=name,
        reviewed=len(reviews),
        agreement=share_interval(len(reviews) - wrong - missed, len(reviews)),
        wrongly_accepted=wrong,
        wrongly_rejected=missed,
        left=left,
    )


def _sample(config: ReviewConfig, folder: Path) -> list[Sampled]:
    chance = random.Random(config.seed)
    found: list[Sampled] = []
    with reading(folder / "calls.db") as database:
        for state in ("accepted", "rejected"):
            ids = [
                row[0]
                for row in database.execute("SELECT id FROM pieces WHERE state = ? AND result IS NOT NULL", (state,))
            ]
            for piece in chance.sample(ids, min(len(ids), (config.count + (state == "accepted")) // 2)):
                key, payload, result = database.execute(
                    "SELECT key, payload, result FROM pieces WHERE id = ?", (piece,)
                ).fetchone()
                answer = read_attempts(result)[-1].text
                found.append(
                    Sampled(key=key, prompt=_decode_task(payload).prompt, answer=answer, verdict=state == "accepted")
                )
    chance.shuffle(found)
    return found


def _ask(one: Sampled) -> Review | None:
    """At the keyboard; an empty line or the end of input stops."""
    out = sys.stderr
    prompt, answer = show_controls(one.prompt), show_controls(one.answer)
    out.write(f"\n── question\n{prompt}\n── answer\n{answer}\n── accept, reject, edit, or empty to stop [a/r/e]: ")
    out.flush()
    decision = DECISIONS.get(sys.stdin.readline().strip().lower()[:1])
    if decision is None:
        return None
    edited = ""
    if decision == "edit":
        out.write("the answer as it should be; end with a line that holds only a dot\n")
        out.flush()
        edited = "".join(_lines_to_dot())
    out.write("reason: ")
    out.flush()
    return Review(piece=one.key, decision=decision, reason=sys.stdin.readline().strip(), edited=edited)


def _lines_to_dot() -> Iterator[str]:
    for line in sys.stdin:
        if line.strip() == ".":
            return
        yield line
