"""Imports answers that another program collected: JSON lines, our own results table, and lm-eval's `--log_samples`.

An answer is matched to an item by id or prompt. lm-eval's document number counts only when its prompt contains the
item's: an answer to something else is an error, never a wrong answer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from afs import jsonl
from afs.errors import DataError
from afs.evaluate import ask_models, result_rows
from afs.evaluate.result_rows import ResultRow
from afs.evaluate.suite_types import Suite, SuiteItem
from afs.providers.base import Sampling
from afs.types import Completion

_OUTPUT = ("output", "answer", "response")


def read_foreign(path: Path, model: str, suite: Suite, sampling: Sampling) -> Iterator[ResultRow]:
    """The answers in a file as rows; repeats from other lm-eval filters are skipped."""
    items = {item.id: item for item in suite.items}
    by_prompt = {item.task.prompt: item for item in suite.items}
    seen: set[tuple[str, int]] = set()
    digest = suite.digest
    for number, line in jsonl.read_lines(path):
        raw = _decoded(path, number, line)
        item = _item_of(raw, items, by_prompt, suite)
        if item is None:
            raise DataError(f"{path}:{number}: no item of {suite.name} has this id or this prompt")
        texts = _texts(raw)
        if texts is None:
            raise DataError(
                f"{path}:{number}: no text was generated here, only likelihoods of given ones; of lm-eval's tasks "
                "those with the output type `generate_until` can be judged"
            )
        for place, text in enumerate(texts):
            epoch = int(raw.get("epoch", place))
            if (item.id, epoch) not in seen:
                seen.add((item.id, epoch))
                row = _row(raw, text, item, model, sampling)
                yield msgspec.structs.replace(row, suite=digest, epoch=epoch)


def _decoded(path: Path, number: int, line: bytes) -> Mapping[str, Any]:
    try:
        return msgspec.json.decode(line, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{path}:{number}: {error}") from error


def _item_of(
    raw: Mapping[str, Any], items: Mapping[str, SuiteItem], by_prompt: Mapping[str, SuiteItem], suite: Suite
) -> SuiteItem | None:
    for name in ("id", "item", "item_id"):
        if str(raw.get(name, "")) in items:
            return items[str(raw[name])]
    document = raw.get("doc")
    if isinstance(document, dict):
        for name in ("id", "prompt", "question", "instruction"):
            text = str(document.get(name))
            if text in items or text in by_prompt:
                return items.get(text) or by_prompt[text]
    place = raw.get("doc_id")
    if isinstance(place, int) and 0 <= place < len(suite.items) and suite.items[place].task.prompt in _asked(raw):
        return suite.items[place]
    return by_prompt.get(str(raw.get("prompt") or raw.get("question") or ""))


def _asked(raw: Mapping[str, Any]) -> str:
    """The full prompt lm-eval sent, template and examples included."""
    first = (raw.get("arguments") or {}).get("gen_args_0") or {}
    return str(first.get("arg_0", ""))


def _texts(raw: Mapping[str, Any]) -> list[str] | None:
    """The answers, one per epoch; None where only likelihoods were measured."""
    for name in _OUTPUT:
        if raw.get(name) is not None:
            return [str(raw[name])]
    found = raw.get("resps") or raw.get("filtered_resps") or [""]
    first = found[0] if isinstance(found, list) else found
    if not isinstance(first, list):
        return [str(first)]
    return [str(text) for text in first] if not any(isinstance(text, list) for text in first) else None


def _row(raw: Mapping[str, Any], text: str, item: SuiteItem, model: str, sampling: Sampling) -> ResultRow:
    completion = Completion(text=text, model=model, finish=str(raw.get("finish", "stop")))
    outcome, problem = ask_models.outcome_of(completion, ask_models.OpenedModel(_Named(model), "", endpoint=False))
    named = raw.get("outcome")
    return ResultRow(
        suite="",
        item=item.id,
        family=item.task.family,
        category=item.category,
        cluster=item.cluster,
        model=model,
        sampling=sampling,
        outcome=named if named in result_rows.OUTCOMES else "dead" if raw.get("error") else outcome,
        output=text,
        seconds=float(raw.get("seconds", 0.0)),
        output_tokens=int(raw.get("output_tokens", 0)),
        error=str(raw.get("error") or problem),
    )


class _Named:
    """A model known by name only, because another program asked it."""

    def __init__(self, name: str) -> None:
        self.name = name

    def complete(self, *_: object) -> Completion:
        """Never called."""
        raise DataError(f"{self.name} was evaluated by another program")
