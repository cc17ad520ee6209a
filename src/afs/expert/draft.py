"""The recipe of an expert: sources, mixture, split, training, baselines, exam, gate, each with its reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from afs.expert.machine_options import SCRATCH, Machine
from afs.expert.own_tests import OwnTests
from afs.expert.survey import SourceSurvey
from afs.expert.toml_text import RecipePart
from afs.expert.training_budget import RunSize
from afs.plugins import REPOSITORY_PACK

_SHARES = {"code": 50, "pair": 50, "docs": 25, "debug": 15, "change": 10, "optimize": 10}
"""Ratio of the kinds in training; others weigh 20."""
_OTHER = 20
_TESTED = {"complete": 30, "fix": 45, "call": 25}
"""Families of tasks that the project's own tests judge, in percent."""
_TESTED_SHARE = 100
_MOST_TASKS = 120
"""Every one runs the tests in the sandbox several times before it becomes a sample."""
_JUDGED = ("code", "pair", "dialogue")
"""Kinds whose answers a user's check reads; sections of documents and commit messages are no answers to it."""


class RecipeDraft(NamedTuple):
    """Everything the recipe is written from."""

    name: str
    sources: Sequence[SourceSurvey]
    machine: Machine
    budget: RunSize
    system: str
    check: str
    unverified: tuple[str, ...] = ()
    """What nothing checks by execution, each with its reason."""
    tests: Sequence[OwnTests] = ()
    """Projects whose own tests judge answers."""

    @property
    def kinds(self) -> Counter[str]:
        """Records by kind, of all sources."""
        return sum((Counter(source.kinds) for source in self.sources), Counter[str]())


def write_system(name: str, sources: Sequence[SourceSurvey]) -> str:
    """The system prompt: the same in training, exam and service."""
    languages = Counter[str]()
    for source in sources:
        languages.update(source.languages)
    least = languages.total() / 5
    top = languages.most_common(2) if is_mostly_code(sources) else []
    spoken = " and ".join(language for language, count in top if count >= least)
    return f"You are an expert on {name}" + (f", a project in {spoken}." if spoken else ".") + " Answer briefly."


def is_mostly_code(sources: Sequence[SourceSurvey]) -> bool:
    """Whether the records are about code: pages of documents with a script beside them are not."""
    kinds = sum((Counter(source.kinds) for source in sources), Counter[str]())
    return kinds["docs"] * 5 < kinds.total() * 4


def list_steps(plan: RecipeDraft) -> Iterator[RecipePart]:
    """The steps in order."""
    yield from _sources(plan)
    yield from _tested_tasks(plan)
    yield _dataset(plan)
    yield _training(plan)
    yield from _shipping(plan)
    yield from _exam(plan)
    yield from _release(plan)


def _names(plan: RecipeDraft) -> list[str]:
    one = len(plan.sources) == 1
    return [f"{plan.name}-records" if one else f"{plan.name}-records-{n}" for n in range(1, len(plan.sources) + 1)]


def _sources(plan: RecipeDraft) -> Iterator[RecipePart]:
    for name, source in zip(_names(plan), plan.sources, strict=True):
        table: dict[str, object] = {"verb": "ingest", "kind": source.reader, "paths": [source.path], "name": name}
        if source.license and source.reader != "git":
            table["license"] = source.license
        if source.options:
            table["options"] = source.options
        table["system"] = plan.system
        if plan.check:
            table |= {"check": plan.check, "check_kinds": list(_JUDGED)}
        listed = ", ".join(f"{count} {kind}" for kind, count in source.kinds.items())
        yield RecipePart(name, table, f"found there: {listed or 'nothing'}")


def _tested_tasks(plan: RecipeDraft) -> Iterator[RecipePart]:
    """Tasks that the project's own tests judge."""
    for number, tests in enumerate(plan.tests, 1):
        counts = [{"family": family, "count": count} for family, count in _plan_tasks(plan).items()]
        table = {
            "verb": "generate",
            "domain": REPOSITORY_PACK,
            "name": f"{plan.name}-tasks-{number}",
            "options": {"path": tests.path},
            "families": counts,
        }
        yield RecipePart(
            f"{plan.name}-tasks-{number}", table, f"{tests.passing} tests pass here; they judge every answer"
        )


def _plan_tasks(plan: RecipeDraft) -> dict[str, int]:
    most = min(_MOST_TASKS, max(8, plan.budget.samples // 2))
    return {family: max(2, most * part // 100) for family, part in _TESTED.items()}


def _dataset(plan: RecipeDraft) -> RecipePart:
    held_out = max(12, min(40, plan.budget.samples // 6))
    parts = divide_mixture(plan, plan.budget.samples + 2 * held_out)
    shares = [{"name": name, "share": share, "match": _match(name)} for name, share in parts.items()]
    steps = [{"use": name} for name in ("redact", "validate", "score", "dedup", "decontaminate")]
    table = {
        "verb": "curate",
        "sources": [*_names(plan), *(f"{plan.name}-tasks-{n}" for n in range(1, len(plan.tests) + 1))],
        "name": f"{plan.name}-data",
        "steps": [*steps, {"use": "mix", "total": sum(parts.values()), "shares": shares}],
        "split": {"counts": {"train": plan.budget.samples, "val": held_out, "test": held_out}},
    }
    return RecipePart(f"{plan.name}-data", table, "one file stays on one side; a kind gives at most what it has")


def divide_mixture(plan: RecipeDraft, total: int) -> dict[str, int]:
    """Records of each kind: by the ratios, but never more of a kind than there are; the other kinds fill up."""
    there = {"tested": len(plan.tests) * sum(_plan_tasks(plan).values()), **plan.kinds}
    weights = {"tested": _TESTED_SHARE, **{kind: _SHARES.get(kind, _OTHER) for kind in plan.kinds}}
    left = {name for name, count in there.items() if count}
    parts = {name: 0 for name in there if name in left}
    while left:
        rest = total - sum(parts.values())
        scale = rest / sum(weights[name] for name in left)
        scarce = {name for name in left if there[name] <= weights[name] * scale}
        for name in scarce or left:
            parts[name] = there[name] if scarce else max(1, int(weights[name] * scale))
        left = left - scarce if scarce else set()
    return parts


def _match(name: str) -> dict[str, list[str]]:
    return {"domain": [REPOSITORY_PACK]} if name == "tested" else {"kind": [name]}


def _training(plan: RecipeDraft) -> RecipePart:
    budget, machine = plan.budget, plan.machine
    table: dict[str, object] = {"verb": "train", "method": machine.method, "dataset": f"{plan.name}-data"}
    if machine.base == SCRATCH:
        table |= {"name": f"{plan.name}-model", "learning_rate": 2e-3, "shape": {"vocabulary": 1024}}
    else:
        table |= {"name": f"{plan.name}-lora", "base": machine.base, "lora": {"rank": 16, "alpha": 32}}
        table["learning_rate"] = 5e-4 if not machine.has_gpu else 2e-4
    table |= {
        "epochs": budget.epochs,
        "max_steps": budget.steps,
        "batch_size": budget.batch_size,
        "max_length": budget.max_length,
        "over_length": "drop",
        "evaluate": {"samples": 40},
        "checkpoints": {"every": 20, "keep": 2},
        "tensorboard": False,
    }
    if machine.has_gpu:
        table["checkpointing"] = True
    return RecipePart(f"{plan.name}-train", table, "; ".join(budget.lines))


def _shipping(plan: RecipeDraft) -> Iterator[RecipePart]:
    quant = "Q8_0" if not plan.machine.has_gpu else "Q4_K_M"
    ship = {"verb": "ship", "to": "gguf", "quant": quant}
    if plan.machine.base == SCRATCH:
        table = {**ship, "artifact": f"{plan.name}-model", "quant": "F16", "name": f"{plan.name}-gguf"}
        yield RecipePart(f"{plan.name}-ship", table)
        return
    yield RecipePart(
        f"{plan.name}-ship-base", {**ship, "artifact": plan.machine.base, "name": f"{plan.name}-base-gguf"}
    )
    table = {**ship, "artifact": f"{plan.name}-lora", "adapter": "lora", "name": f"{plan.name}-gguf"}
    yield RecipePart(f"{plan.name}-ship", table)


def _exam(plan: RecipeDraft) -> Iterator[RecipePart]:
    length = 96 if not plan.machine.has_gpu else 512
    table: dict[str, object] = {
        "verb": "eval run",
        "suite": f"{plan.name}-data:test",
        "model": [f"{plan.name}-gguf"],
        "name": f"{plan.name}-exam",
        "count": 12,
        "metric": "score",
        "sampling": {"max_tokens": length},
        "lint": False,
    }
    table["base"] = "none" if plan.machine.base == SCRATCH else f"{plan.name}-base-gguf"
    words = "the words shared with the held-out text (f1)"
    own = [*(["the project's own tests"] if plan.tests else []), *(["your check"] if plan.check else [])]
    judged = f"{' and '.join(own)}, the rest by {words}" if own else f"{words}: nothing is executed"
    beside = "no base to compare with" if plan.machine.base == SCRATCH else "beside its base"
    yield RecipePart(f"{plan.name}-exam", table, f"{beside}; judged by {judged}")


def _release(plan: RecipeDraft) -> Iterator[RecipePart]:
    register: dict[str, object] = {"verb": "models register", "name": plan.name, "system": plan.system}
    if plan.check:
        register["check"] = plan.check
    promote: dict[str, object] = {"verb": "models promote", "name": plan.name}
    page = {"verb": "expert report", "name": plan.name, "unverified": list(plan.unverified)}
    if plan.machine.base == SCRATCH:
        yield RecipePart(f"{plan.name}-register", {**register, "artifact": f"{plan.name}-gguf"})
        reason = "trained from nothing: there is no base to compare with"
        yield RecipePart(f"{plan.name}-promote", {**promote, "reason": reason})
        yield RecipePart(f"{plan.name}-page", page)
        return
    first = {**register, "artifact": f"{plan.name}-base-gguf"}
    yield RecipePart(f"{plan.name}-baseline", first, "the base answers until an expert passes its gate")
    yield RecipePart(
        f"{plan.name}-baseline-champion", {**promote, "reason": "the base itself, until an expert passes its gate"}
    )
    yield RecipePart(f"{plan.name}-register", {**register, "artifact": f"{plan.name}-gguf"})
    yield RecipePart(f"{plan.name}-page", page)
    gate = {"verb": "eval gate", "report": f"{plan.name}-exam"}
    yield RecipePart(f"{plan.name}-gate", gate, "ends the run when the expert is no better: the base keeps answering")
    yield RecipePart(f"{plan.name}-promote", promote)
