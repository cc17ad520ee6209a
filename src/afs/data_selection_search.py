"""`afs curate arms`: which selection method and size give the best model; sizes × arms by successive halving.

Each arm is trained and evaluated on the validation side, from the smallest size; the better half advances.
The test side is never looked at. Finished trainings are found again, so rerun to resume a stopped search.
"""

from __future__ import annotations

from typing import Any, ClassVar

import msgspec

from afs import datasets, pipeline, verbs
from afs.config import Config, Plugin, decode
from afs.curate import DEFAULT_STEPS
from afs.errors import ConfigError, DataError
from afs.manifests import read_manifest
from afs.pipeline import RecipeStep
from afs.types import Interval, RefText, Report, Value
from afs.workspace import MANIFEST, Workspace


class ArmsConfig(Config, frozen=True, kw_only=True):
    """Compare selection methods by training on them."""

    positional: ClassVar[tuple[str, ...]] = ("sources",)

    sources: tuple[RefText, ...]
    """Records to curate."""
    name: str
    """Prefix of the names of the search's datasets and models."""
    sizes: tuple[int, ...] = (50, 100, 200, 400)
    """Training records of each round."""
    arms: tuple[str, ...] = ("coverage", "random", "longest")
    """Selection methods; random is hard to beat, so leave it in."""
    keep: float = 0.5
    """Share of the arms that advances after each round; at least one does."""
    curate: Plugin = {}
    """Options of `curate` for all arms."""
    train: Plugin = {}
    """Options of `train` for every arm: base, method, learning_rate …"""
    eval: Plugin = {}
    """Options of `eval run` for every arm."""
    measure: str = "solved"
    """Entry of the report's summary by which arms are ranked."""


class ArmResult(Value, frozen=True, kw_only=True):
    """One arm at one size."""

    round: int
    size: int
    arm: str
    value: Interval
    advances: bool
    dataset: str
    model: str
    report: str


def search_arms(config: ArmsConfig, workspace: Workspace) -> list[ArmResult]:
    """All rounds in order; the best arm of the last round is the winner."""
    if not config.sizes or list(config.sizes) != sorted(set(config.sizes)):
        raise ConfigError("sizes", "want distinct sizes in ascending order")
    every: list[ArmResult] = []
    left = list(dict.fromkeys(config.arms))
    for number, size in enumerate(config.sizes, 1):
        results = [_train_arm(config, workspace, arm, size, number) for arm in left]
        last = number == len(config.sizes)
        left = select_survivors({row.arm: row.value.value for row in results}, 1.0 / len(left) if last else config.keep)
        every += [msgspec.structs.replace(row, advances=row.arm in left) for row in results]
    return every


def select_survivors(scores: dict[str, float | None], keep: float) -> list[str]:
    """The arms that advance, the best first; an unknown score is below every known one."""
    count = max(1, round(len(scores) * keep + 1e-9))
    return sorted(scores, key=lambda arm: (scores[arm] is None, -(scores[arm] or 0.0), arm))[:count]


def _train_arm(config: ArmsConfig, workspace: Workspace, arm: str, size: int, number: int) -> ArmResult:
    name = f"{config.name}-{arm}-{size}"
    road: list[dict[str, Any]] = [{"use": step} for step in DEFAULT_STEPS]
    table = {"steps": road} | config.curate | {"sources": list(config.sources), "name": name}
    table["steps"] = [*table["steps"], {"use": "select", "n": size, "arm": arm}]
    data, model, report = pipeline.run_steps(
        [
            _step("curate", table),
            _step("train", config.train | {"dataset": name, "name": name}),
            _step("eval run", config.eval | {"suite": f"{name}:val", "model": [name], "name": name}),
        ],
        workspace,
    )
    stored = {step.verb: step.result.partition(":")[2] for step in (data, model, report)}
    dataset = datasets.load(workspace, stored["curate"], "dataset")
    if datasets.find_split(dataset, "train").count < size:
        workspace.log.event(
            "notice", text=f"· {arm}: {size} records wanted, {datasets.find_split(dataset, 'train').count} available"
        )
    value = _summary(workspace, stored["eval run"]).get(config.measure)
    if value is None:
        raise DataError(f"{stored['eval run']}: its summary has no entry {config.measure!r}")
    return ArmResult(
        round=number,
        size=size,
        arm=arm,
        value=value,
        advances=False,
        dataset=stored["curate"],
        model=stored["train"],
        report=stored["eval run"],
    )


def _step(verb: str, table: dict[str, Any]) -> RecipeStep:
    config = decode(verbs.config_class(verbs.VERBS[verb]), table, prefix=verb)
    return RecipeStep(name=verb, verb=verb, config=config)


def _summary(workspace: Workspace, ref: str) -> dict[str, Interval]:
    path = workspace.path(workspace.resolve(ref, "report")) / MANIFEST
    return read_manifest(path, Report).summary
