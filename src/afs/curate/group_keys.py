"""What a record belongs to when a dataset is divided: source group, task family, or wording of its question."""

from __future__ import annotations

from hashlib import blake2b

from afs.curate.entity_comparison import is_entity
from afs.curate.text_keys import normalize_text
from afs.datasets import question_text
from afs.types import Record

CLUSTER = "cluster:"
"""Tag of a record with near copies."""


def group_key(record: Record) -> str:
    """What stays on one side: the source group, the task group, the parent record, or else the question."""
    origin, task = record.origin, record.task
    if origin.group:
        return f"{origin.source}|{origin.group}"
    if task is not None:
        return f"{task.domain}|{task.family}#{task.group}" if task.group else f"{task.domain}|{task.family}"
    return origin.parents[0] if origin.parents else _digest_questions(record)


def _digest_questions(record: Record) -> str:
    """A digest of the questions: all answers to one question belong on one side."""
    questions = "\x1f".join([m.text for m in record.messages if m.role == "user"])
    return blake2b(questions.encode("utf-8", "replace"), digest_size=16).hexdigest()


def family_of(record: Record) -> str:
    """The task family, or the record's kind."""
    return record.task.family if record.task is not None else record.kind


def wording_of(record: Record) -> str:
    """How a question is phrased: what its task says, else the question without the things it names."""
    question = record.task.spec.get("question") if record.task is not None else None
    if isinstance(question, dict) and isinstance(phrase := question.get("phrase"), str):
        return f"{family_of(record)}|{phrase}"
    words = ("_" if is_entity(word) else word for word in question_text(record).split())
    return f"{family_of(record)}|{normalize_text(' '.join(words))}"


KEYS = {"group": group_key, "family": family_of, "wording": wording_of}
"""`split.by` -> what stays together with a record."""
