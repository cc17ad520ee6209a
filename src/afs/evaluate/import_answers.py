"""Imports answers that another program collected: JSON lines, our own results table, and lm-eval's `--log_samples`.

An answer is matched to an item by id or prompt. lm-eval's document number counts only when its prompt contains the
item's: an answer to something else is an error, never a wrong answer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import msgspec

from afs import jsonl
from afs.config import Config
from afs.errors import DataError
from afs.evaluate import ask_models, report, result_rows
from afs.evaluate.rescore import judge_and_store
from afs.evaluate.result_rows import ResultRow
from afs.evaluate.suite_types import Suite, SuiteItem
from afs.evaluate.suites import open_suite
from afs.providers.base import Sampling
from afs.runs import Run
from afs.types import Completion, Report

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


class ImportAnswersConfig(Config, frozen=True, kw_only=True):
    """Make a report from answers that another program collected."""

    positional: ClassVar[tuple[str, ...]] = ("files",)
    files: tuple[Path, ...]
    """One file per model: JSON lines `{id, output}`, lm-eval's `--log_samples`, or our results table."""
    suite: str
    """The suite the answers belong to; its scorers judge them."""
    model: tuple[str, ...]
    """Model names, in the order of the files. The first is the subject."""
    base: str = ""
    """Which of them is the base."""
    name: str
    """Name of the report."""
    seed: int = 0
    """Seed of a generated suite."""
    count: int = 0
    """Items per family of a generated suite."""
    sampling: Sampling = Sampling(max_tokens=1024)
    """Sampling settings, as far as known."""


def import_results(config: ImportAnswersConfig, run: Run) -> Report:
    """Import answers, judge them, write a report."""
    if len(config.files) != len(config.model):
        raise DataError(f"{len(config.files)} files but {len(config.model)} names of models")
    suite = open_suite(run.workspace, config.suite, seed=config.seed, count=config.count)
    rows = [
        row
        for path, model in zip(config.files, config.model, strict=True)
        for row in read_foreign(path, model, suite, config.sampling)
    ]
    facts = report.Facts(
        suite=suite,
        models=tuple({"model": m, "digest": "", "base": "", "form": "imported"} for m in config.model),
        subject=config.model[0],
        base=config.base,
        metric="solved",
        cut="unsolved",
        sampling=config.sampling,
        command=report.reproduce_command(config, "import"),
        run=run.id,
    )
    return judge_and_store(run, facts, rows, config.name)
