"""Cells: how many accepted samples of which family are wanted, by which templates and teachers, and from which tasks.

A cell's id is the digest of what is made there; counts, budgets, concurrency and the limit of tokens are not part of
it, so changing them repeats no call, and a changed template touches only its own cells.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple, cast

import msgspec

from afs import datasets, plugins, verification
from afs.checks.check_tasks import require_checks
from afs.domains.base import Domain
from afs.errors import ConfigError, DataError, UsageError
from afs.generate.config import CellConfig, GenerateConfig
from afs.generate.prompt_templates import Template, read_template
from afs.types import Json, Record, Task, digest
from afs.workspace import Workspace

Event = Callable[..., None]
"""Reports an event by its name and fields."""
PACK = "pack"
"""The teacher that is the pack itself: its reference answers."""

FIRST_CHOICES = 16
"""Candidates before the first verdict where there is a choice of arms: who chooses blindly learns nothing."""


class Arm(NamedTuple):
    """One way to make a sample of a cell."""

    template: Template
    teacher: str
    """A model's name, or empty for the pack's reference."""

    @property
    def label(self) -> str:
        """As reports write it."""
        return f"{self.template.label} {self.teacher}" if self.teacher else PACK


@dataclass
class CampaignCell:
    """A cell and how far it is."""

    id: str
    label: str
    domain: str
    family: str
    count: int
    cap: int
    """Most tasks tried."""
    arms: tuple[Arm, ...]
    tasks: Iterator[Task]
    stored: int = 0
    """Tasks that are in the file."""
    after: int = 0
    """The last piece that was claimed."""
    tried: int = 0
    accepted: int = 0
    pending: int = 0
    """Claimed and not ended."""
    in_batches: int = 0
    """Tasks in batches that still run."""
    waiting: int = 0
    """Answers that no checker could judge."""
    license: str | None = None
    """Of what the pack makes; None: the campaign's."""
    is_begun: bool = False
    """Whether tasks were taken in this run: those of earlier runs are passed over first."""
    is_exhausted: bool = False
    """No task is left."""
    stopped: str = ""
    """Why no more is asked, before the cap."""
    example: Task | None = None
    pilot: int | None = None
    """Candidates of a pilot; None: the whole."""

    @property
    def wanted(self) -> int:
        """Candidates that may be claimed now: never more than could be accepted."""
        if self.stopped:
            return 0
        busy = self.pending + self.waiting + self.in_batches
        cap = self.cap if self.pilot is None else min(self.cap, self.pilot)
        ramp = max(FIRST_CHOICES, self.tried) - self.pending if len(self.arms) > 1 else busy + cap
        return max(0, min(self.count - self.accepted - busy, cap - self.tried - busy, ramp))

    @property
    def missing(self) -> int:
        """Accepted samples that are not there."""
        return self.count - self.accepted


def build_cells(config: GenerateConfig, workspace: Workspace, event: Event) -> list[CampaignCell]:
    """The campaign's cells; what is wrong with one is said before any call."""
    if config.source:
        return [_source_cell(config, workspace, event)]
    shares = [CellConfig(family=share.family, count=share.count) for share in config.families if share.count]
    shares += config.cells
    if not shares:
        pack = load_configured(config, config.domain)
        shares = [CellConfig(family=family, count=config.count) for family in pack.families if config.count]
    cells = [_cell(config, share) for share in shares]
    seen: set[str] = set()
    for cell in cells:
        if cell.id in seen:
            raise ConfigError("cells", f"{cell.label} stands twice; add up the counts")
        seen.add(cell.id)
    return cells


def _cell(config: GenerateConfig, share: CellConfig) -> CampaignCell:
    pack = load_configured(config, share.domain or config.domain)
    refuse_unknown_family(pack, share.family)
    arms = _arms(config, share)
    seed = config.seed if share.seed is None else share.seed
    cap = share.count if _is_offline(arms) else math.ceil(share.count * config.candidates)
    supply = max(cap, 4 * share.count)
    return CampaignCell(
        id=_cell_id(config, pack, share.family, seed, arms),
        label=f"{pack.name}/{share.family}",
        domain=pack.name,
        family=share.family,
        count=share.count,
        cap=supply if _is_offline(arms) else cap,
        arms=arms,
        tasks=iter(pack.tasks(share.family, seed, supply)),
        example=_example(pack, share.family, seed, arms),
        license=cast("str | None", getattr(pack, "license", None)),
    )


def load_configured(config: GenerateConfig, name: str) -> Domain:
    """The pack called `name`; the campaign's own pack is given the campaign's options."""
    pack = verification.load_pack(name)
    if not config.options or name != config.domain:
        return pack
    configure = cast("Callable[[Json], Domain] | None", getattr(pack, "configure", None))
    if configure is None:
        raise ConfigError("options", f"the pack {name} takes no options")
    return configure(config.options)


def _is_offline(arms: tuple[Arm, ...]) -> bool:
    return all(not arm.teacher for arm in arms)


def _arms(config: GenerateConfig, share: CellConfig) -> tuple[Arm, ...]:
    teachers = share.teachers or (config.teacher,)
    templates = [read_template(name) for name in share.templates or (config.template,)]
    plain = [Arm(templates[0], "") for teacher in teachers if teacher in ("", PACK)][:1]
    asked = [Arm(template, teacher) for teacher in teachers if teacher not in ("", PACK) for template in templates]
    return (*plain, *asked)


def _example(pack: Domain, family: str, seed: int, arms: tuple[Arm, ...]) -> Task | None:
    """A solved task for templates that show one: from another seed, so that it is not among those asked."""
    if not any(arm.template.needs_example for arm in arms):
        return None
    return next(iter(pack.tasks(family, seed + 1_000_003, 1)))


def _cell_id(config: GenerateConfig, pack: Domain, family: str, seed: int, arms: tuple[Arm, ...]) -> str:
    ways = [(arm.template.digest, arm.teacher) for arm in arms] if not _is_offline(arms) else []
    sampling = msgspec.to_builtins(config.sampling) if ways else {}
    sampling.pop("max_tokens", None)
    identity = cast(str, getattr(pack, "identity", ""))
    named = (pack.name, pack.version, identity) if identity else (pack.name, pack.version)
    return digest((*named, family, seed, ways, sampling, config.repair and bool(ways)))[:24]


def _source_cell(config: GenerateConfig, workspace: Workspace, event: Event) -> CampaignCell:
    """A task for every session of the source that the pack can make one of."""
    pack = verification.load_pack(config.domain)
    make = cast("Callable[[list[Record]], Task | None] | None", getattr(pack, "from_session", None))
    if make is None:
        raise ConfigError("source", f"the pack {config.domain} makes no tasks out of logs")
    dataset = datasets.load(workspace, config.source)
    records = datasets.read(workspace, dataset)
    sessions = itertools.groupby(records, key=lambda record: record.origin.group or record.id)
    tasks = [make(list(group)) for _, group in sessions]
    found = list({task.id: task for task in tasks if task is not None}.values())
    event("generate.source", source=dataset.ref, sessions=len(tasks), tasks=len(found))
    require_checks(found)
    if not found:
        raise DataError(f"{dataset.ref}: no session of it makes a task of the pack {config.domain}")
    arms = _arms(config, CellConfig(family="source", count=1))
    identity = digest((_cell_id(config, pack, "source", config.seed, arms), dataset.digest))[:24]
    label = f"{pack.name}/source"
    return CampaignCell(identity, label, pack.name, "source", len(found), len(found), arms, iter(found))


def refuse_unknown_family(pack: Domain, family: str) -> None:
    """A pack may know families that it does not list: only it can say."""
    if family in pack.families:
        return
    try:
        next(pack.tasks(family, 0, 1))
    except UsageError as error:
        hint = plugins.suggest_name(family, pack.families)
        raise ConfigError("families", f"the pack {pack.name} has no family {family!r}{hint}") from error
