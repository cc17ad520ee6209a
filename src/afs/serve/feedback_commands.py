"""`afs feedback`: what users think of the council's answers, and what is learned from it.

Rated conversations become records that name the exact artifact; wrong answers become a campaign of new tasks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import ClassVar, Final, NamedTuple, cast

import tomlkit

from afs import datasets, jsonl
from afs.config import Config, Positive
from afs.council.reply_log import LoggedReply, Rating, ReplyLog, Thumb
from afs.domains.base import DOMAINS
from afs.errors import DataError, UsageError
from afs.intervals import share_interval
from afs.plugins import list_names
from afs.runs import Run
from afs.types import Dataset, Interval, Message, Origin, Record, Value, record_id
from afs.workspace import Workspace

__all__ = [
    "FeedbackConfig",
    "FeedbackRateConfig",
    "FeedbackRecordsConfig",
    "FeedbackTargetsConfig",
    "feedback",
    "feedback_rate",
    "feedback_records",
    "feedback_targets",
]
_SOURCE: Final = "council"


class RatedReply(NamedTuple):
    """A stored conversation with its rating, if any."""

    reply: LoggedReply
    rating: Rating | None

    @property
    def is_wrong(self) -> bool:
        """Refuted by its check, or rated down."""
        is_refuted = self.reply.verdict is not None and self.reply.verdict.ok is False
        return is_refuted or (self.rating is not None and self.rating.thumb == "down")


def read_replies(workspace: Workspace) -> Iterator[RatedReply]:
    """The stored conversations with their ratings."""
    log = ReplyLog(workspace)
    ratings = log.ratings()
    for reply in log.replies():
        yield RatedReply(reply, ratings.get(reply.id))


# --- the figure --------------------------------------------------------------------------------------------------


class FeedbackConfig(Config, frozen=True, kw_only=True):
    """Show how satisfied users are with the council, by expert and artifact."""


class FeedbackResult(Value, frozen=True, kw_only=True):
    """User satisfaction: the share of rated answers with a thumb up."""

    satisfaction: Interval
    by_expert: dict[str, Interval]
    by_artifact: dict[str, Interval]
    routes: int
    """Answers logged in all."""
    overrides: int
    """Answers of an expert the user chose instead of the router."""

    def text(self) -> str:
        """The figure, then the parts."""
        rows = [f"user satisfaction  {_share(self.satisfaction)}"]
        rows += [f"  {name:<16} {_share(value)}" for name, value in self.by_expert.items()]
        rows += [f"  {name}: {_share(value)}" for name, value in self.by_artifact.items()]
        return "\n".join([*rows, f"{self.routes} answers logged, {self.overrides} with an expert of the user's choice"])


def _share(value: Interval) -> str:
    if value.value is None:
        return "unknown (nothing is rated)"
    return f"{value.value:.0%} ({value.low:.0%}-{value.high:.0%}, n={value.n})"


def feedback(config: FeedbackConfig, workspace: Workspace) -> FeedbackResult:
    """The founding figure, with its interval."""
    rated = [one for one in read_replies(workspace) if one.rating is not None]
    routes = list(ReplyLog(workspace).routes())
    return FeedbackResult(
        satisfaction=_satisfaction(rated),
        by_expert=_grouped(rated, lambda reply: reply.expert or "base"),
        by_artifact=_grouped(rated, lambda reply: reply.artifact or "unknown artifact"),
        routes=len(routes),
        overrides=sum(bool(row.override) for row in routes),
    )


def _satisfaction(rated: list[RatedReply]) -> Interval:
    up = sum(one.rating is not None and one.rating.thumb == "up" for one in rated)
    return share_interval(up, len(rated))


def _grouped(rated: list[RatedReply], key: Callable[[LoggedReply], str]) -> dict[str, Interval]:
    names = dict.fromkeys(key(one.reply) for one in rated)
    return {name: _satisfaction([one for one in rated if key(one.reply) == name]) for name in names}


class FeedbackRateConfig(Config, frozen=True, kw_only=True):
    """Rate an answer of the council."""

    positional: ClassVar[tuple[str, ...]] = ("reply", "thumb")
    reply: str
    """The answer's id, or `last`."""
    thumb: Thumb
    """up or down."""
    note: str = ""
    """Why."""


def feedback_rate(config: FeedbackRateConfig, workspace: Workspace) -> str:
    """Store a thumb."""
    reply = ReplyLog(workspace).rate(config.reply, config.thumb, config.note)
    return f"rated {config.thumb}: {reply.id} of {reply.artifact or reply.expert or 'the base model'}"


# --- records -----------------------------------------------------------------------------------------------------


class FeedbackRecordsConfig(Config, frozen=True, kw_only=True):
    """Turn stored conversations into records; each names the exact artifact that answered.

    A record's kind is `EXPERT/reply`, so that they are labeled questions for `afs route train` too; a question that
    was sent to an expert by name is labeled with that one.
    """

    name: str = "council-replies"
    """Name of the records to write."""
    thumb: str = ""
    """Only answers rated `up` or `down`; empty: all that are stored."""
    license: str = ""
    """License of the conversations; empty: unknown, so they are not exported unless you name their source."""


def feedback_records(config: FeedbackRecordsConfig, run: Run) -> Dataset:
    """Write the records."""
    if config.thumb not in ("", "up", "down"):
        raise UsageError(f"--thumb: want up or down, got {config.thumb!r}")
    chosen = [
        one
        for one in read_replies(run.workspace)
        if not config.thumb or (one.rating is not None and one.rating.thumb == config.thumb)
    ]
    if not chosen:
        raise DataError('no conversation is stored yet: rate answers, or keep all with `council.log = "all"`')
    with datasets.write_dataset(run.workspace, config.name, "records", run=run.id) as pending:
        for one in chosen:
            pending.add("all", _record(one, config.license))
    return pending.dataset


def _record(one: RatedReply, license_: str) -> Record:
    reply, rating = one
    domain, _ = classify_question(reply)
    messages = (*reply.messages, Message(role="assistant", text=reply.answer))
    tags = [f"expert:{reply.expert or 'base'}", *([f"thumb:{rating.thumb}"] if rating else [])]
    tags += [f"verdict:{reply.verdict.stage}"] if reply.verdict else []
    return Record(
        id=record_id(domain, messages),
        domain=domain,
        kind=f"{reply.expert or 'base'}/reply",
        messages=messages,
        origin=Origin(source=_SOURCE, uri=reply.id, license=license_, maker=reply.artifact, group=reply.id),
        task=reply.task,
        verdicts=(reply.verdict,) if reply.verdict else (),
        tags=tuple(tags),
    )


# --- targets -----------------------------------------------------------------------------------------------------


class FeedbackTargetsConfig(Config, frozen=True, kw_only=True):
    """Write a campaign that makes new tasks like those the council answered wrongly, for `afs generate @FILE`."""

    positional: ClassVar[tuple[str, ...]] = ("file",)
    file: Path = Path("targets.toml")
    """The file to write."""
    name: str = "council-targets"
    """Name of the records the campaign writes."""
    each: Positive = 50
    """New samples per wrong answer."""


class TargetsResult(Value, frozen=True, kw_only=True):
    """What was written."""

    file: str
    wrong: int
    """Wrong answers counted."""
    families: dict[str, int]
    """Family -> samples to make."""
    unknown: int = 0
    """Wrong answers whose question fits no family."""

    def text(self) -> str:
        """What to do next."""
        rows = [f"{family:<24} {count}" for family, count in self.families.items()]
        answers = "1 wrong answer" if self.wrong == 1 else f"{self.wrong} wrong answers"
        more = [f"{self.unknown} wrong answers fit no family of a pack"] if self.unknown else []
        return "\n".join([*rows, *more, f"{self.file}: from {answers}; run `afs generate @{self.file}`"])


def feedback_targets(config: FeedbackTargetsConfig, workspace: Workspace) -> TargetsResult:
    """Count the wrong answers by family and write the campaign."""
    wrong = [one.reply for one in read_replies(workspace) if one.is_wrong]
    found = Counter(classify_question(reply) for reply in wrong)
    known = {pair: count for pair, count in sorted(found.items()) if pair[1]}
    if not known:
        raise DataError("no stored answer is wrong and fits a family: nothing was refuted or rated down")
    cells = [{"domain": pack, "family": family, "count": n * config.each} for (pack, family), n in known.items()]
    table = {"domain": next(iter(known))[0], "name": config.name, "cells": cells}
    jsonl.replace(config.file, tomlkit.dumps(table).encode())
    return TargetsResult(
        file=str(config.file),
        wrong=len(wrong),
        families={family: count * config.each for (_, family), count in known.items()},
        unknown=sum(count for pair, count in found.items() if not pair[1]),
    )


def classify_question(reply: LoggedReply) -> tuple[str, str]:
    """(pack, family) of a question: its task's, else what a pack reads in its words; `chat` and none otherwise."""
    if reply.task is not None:
        return reply.task.domain, reply.task.family
    for name in list_names("domain"):
        classify = getattr(DOMAINS.find(name), "classify", None)
        if classify is not None and (family := cast(Callable[[str], str], classify)(reply.question)):
            return name, family
    return "chat", ""
