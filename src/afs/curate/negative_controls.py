"""Negative controls: planted bad answers must be rejected and planted good ones kept, in every curation run."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from hashlib import blake2b
from heapq import nsmallest
from itertools import islice, zip_longest

import msgspec

from afs import answer_verifier, plugins
from afs.config import Config, Count, Fraction
from afs.curate.good_controls import samples
from afs.curate.quality_measures import STORED
from afs.curate.score import DIALECT, Gate
from afs.curate.score_profiles import choose_profile
from afs.datasets import answer_text, question_text
from afs.errors import RefusedError
from afs.types import ControlOutcome, Dropped, Message, Record, record_id


class Controls(Config, frozen=True, kw_only=True):
    """How strict the proof of the gate is."""

    sample: Count = 40
    """Records whose tasks, or whose answers, are used to plant controls."""
    reject: Fraction = 0.95
    """Least share of planted bad records that must be rejected."""
    keep: Fraction = 0.95
    """Least share of planted good records that must be kept."""


def by_chance(record: Record) -> bytes:
    """An order that has nothing to do with the record, and is the same in every run."""
    return blake2b(record.id.encode(), digest_size=8).digest()


def prove(gate: Gate, records: Iterable[Record], controls: Controls) -> list[ControlOutcome]:
    """Plant, judge, count; refuses when the gate lets bad ones in or keeps good ones out."""
    chosen = _choose_evenly(records, controls.sample)
    planted = list(_planted(chosen))
    counts: Counter[tuple[str, bool, bool]] = Counter()
    for (kind, good, _), item in zip(planted, gate.judge(record for _, _, record in planted), strict=True):
        counts[kind, good, isinstance(item, Dropped)] += 1
    kinds = sorted({(good, kind) for kind, good, _ in counts})
    outcomes = [
        ControlOutcome(kind=k, good=g, planted=counts[k, g, True] + counts[k, g, False], rejected=counts[k, g, True])
        for g, k in kinds
    ]
    _refuse(outcomes, controls)
    return outcomes


def _choose_evenly(records: Iterable[Record], count: int) -> list[Record]:
    """So many records, of every profile, domain and dialect in turn."""
    strata: dict[tuple[str, ...], list[Record]] = defaultdict(list)
    for record in records:
        dialect = next((tag for tag in record.tags if tag.startswith(DIALECT)), "")
        strata[choose_profile(record), record.domain, dialect].append(record)
    rows = [nsmallest(count, strata[key], key=by_chance) for key in sorted(strata)]
    return list(islice((record for turn in zip_longest(*rows) for record in turn if record is not None), count))


def _refuse(outcomes: list[ControlOutcome], controls: Controls) -> None:
    for good, least in ((False, controls.reject), (True, controls.keep)):
        rows = [row for row in outcomes if row.good is good]
        planted = sum(row.planted for row in rows)
        right = sum(row.rejected if not good else row.planted - row.rejected for row in rows)
        if planted and right / planted < least:
            wrong = [row for row in rows if row.rejected != (0 if good else row.planted)]
            counts = ", ".join(f"{row.kind} {row.rejected}/{row.planted} rejected" for row in wrong)
            raise RefusedError(
                f"the gate failed its controls: {right} of {planted} {'good kept' if good else 'bad rejected'}, "
                f"want {least:.0%} ({counts}); fix the profile, or relax the proof with `controls`"
            )


def _planted(records: list[Record]) -> Iterator[tuple[str, bool, Record]]:
    """(kind, whether it is good, record), under ids of their own."""
    for record in records:
        if record.task is not None:
            yield from _of_task(record)
        else:
            yield from _of_talk(record)
    forms = {(choose_profile(record), record.domain) for record in records if record.task is None}
    for form, domain in sorted(forms):
        for sample in samples(form, domain):
            yield f"good {form}", True, sample


def _of_task(record: Record) -> Iterator[tuple[str, bool, Record]]:
    assert record.task is not None
    if record.task.reference:
        yield "reference", True, with_answer(record, record.task.reference)
    for kind, text in answer_verifier.load_pack(record.task.domain).wrong_answers(record.task):
        yield kind, False, with_answer(record, text)


def _of_talk(record: Record) -> Iterator[tuple[str, bool, Record]]:
    good = answer_text(record)
    noise = random.Random(record.id)
    line = good.strip().splitlines()[0][:80] if good.strip() else "again"
    yield "empty", False, with_answer(record, "")
    yield "noise", False, with_answer(record, _noise(noise, 6000))
    form, asked = choose_profile(record), question_text(record).strip()
    if form != "asm" and asked.count(" ") >= 3:
        yield "echo", False, with_answer(record, asked)
    if form in ("dialogue", "tools"):
        yield "short noise", False, with_answer(record, _noise(noise, noise.randrange(16, 48)))
    yield "refusal", False, with_answer(record, "I'm sorry, but as an AI language model I cannot assist with that.")
    yield "repetition", False, with_answer(record, "\n".join([f"{line} and so on again and again"] * 60))
    for code in _code_of(record.domain):
        yield "open fence", False, with_answer(record, f"{good}\n```\n{code}")
    turns = (*record.messages, Message(role="user", text="and now?"))
    yield "no answer at the end", False, _planted_record(record, turns)


def _code_of(domain: str) -> tuple[str, ...]:
    """Code to plant in a record of this domain."""
    return answer_verifier.load_pack(domain).controls if domain in plugins.list_names("domain") else ("x = 1\n",)


def _noise(chance: random.Random, size: int) -> str:
    """Printable characters."""
    return bytes(chance.choices(range(33, 127), k=size)).decode()


def with_answer(record: Record, text: str) -> Record:
    """The record with another final answer; of its scores those of earlier steps stay, so the gate gets no help."""
    last = max(i for i, m in enumerate(record.messages) if m.role == "assistant")
    turns = (*record.messages[:last], Message(role="assistant", text=text), *record.messages[last + 1 :])
    return _planted_record(record, turns)


def _planted_record(record: Record, turns: tuple[Message, ...]) -> Record:
    kept = tuple(score for score in record.scores if score.id in STORED)
    return msgspec.structs.replace(
        record, id=record_id(f"control:{record.domain}", turns), messages=turns, scores=kept, verdicts=()
    )
