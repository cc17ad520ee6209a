"""The step `mix`: exact allocation by shares or a tree of shares; a shortfall is reported with what would fill it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from hashlib import blake2b
from typing import Literal

import msgspec

from afs import datasets
from afs.config import Config, Count
from afs.curate.dedup import total_score
from afs.curate.group_keys import family_of
from afs.curate.split import largest_remainder
from afs.curate.step_context import Records, StepContext
from afs.errors import ConfigError, RefusedError
from afs.types import Dataset, Dropped, Json, Record, RefText

FROM_TAG = "from:"
_FIELDS: dict[str, Callable[[Record], str]] = {
    "source": lambda r: r.origin.source,
    "domain": lambda r: r.domain,
    "family": family_of,
    "kind": lambda r: r.kind,
    "maker": lambda r: r.origin.maker,
    "license": lambda r: r.origin.license or "unknown",
    "set": lambda r: next((tag[len(FROM_TAG) :] for tag in r.tags if tag.startswith(FROM_TAG)), ""),
}


def tag_source(record: Record, ref: str) -> Record:
    """A record of another dataset, tagged with the dataset it comes from."""
    return msgspec.structs.replace(record, tags=(*record.tags, f"{FROM_TAG}{ref}"))


class Share(Config, frozen=True, kw_only=True):
    """One part of the mixture: what it takes, how much, and how it is subdivided."""

    name: str
    """Name in the report."""
    share: float
    """Weight relative to its siblings."""
    match: dict[str, tuple[str, ...]] = {}
    """Field -> values: source, domain, family, kind, maker, license, or set (a dataset named as a source)."""
    parts: tuple[Share, ...] = ()
    """Shares within this one."""


class Mix(Config, frozen=True, kw_only=True):
    """Select records by shares."""

    shares: tuple[Share, ...] = ()
    """The mixture, e.g. 60 expert, 25 general, 15 synthetic; a record goes to the first share it fits."""
    total: Count = 0
    """Records to take; 0: as many as the scarcest share allows."""
    order: Literal["quality", "random", "longest"] = "quality"
    """Order in which a share takes its records."""
    per_family: Count = 0
    """Most records of one family; 0: no cap."""
    per_source: Count = 0
    """Most records of one source; 0: no cap."""
    missing: Literal["report", "refuse"] = "report"
    """What to do when a share cannot be filled."""
    expert: str = ""
    """Expert the dataset is for: records that other experts' datasets train on are not reused."""
    again: tuple[str, ...] = ()
    """Other experts whose records may be reused; `all` for every one."""
    without: tuple[RefText, ...] = ()
    """Further datasets whose records are not reused."""

    def __call__(self, records: Records, context: StepContext) -> Iterator[Record | Dropped]:
        """The mixture, in the original order of the records."""
        used = self._find_used_ids(context)
        pools = self._build_pools(records, used)
        asked = self._allocate_total(pools)
        chosen = {key for leaf, pool in pools.items() for key in pool[: asked[leaf]]}
        account = [
            {"share": leaf, "asked": n, "given": min(n, len(pools[leaf])), "there": len(pools[leaf])}
            for leaf, n in asked.items()
        ]
        self._report_shares(account, context)
        for record in records:
            if record.id in chosen:
                yield record
            elif record.id in used:
                yield Dropped(record=record, reason="mix: used by another dataset")
            else:
                leaf = self.find_leaf(record)
                yield Dropped(record=record, reason="mix: not needed" if leaf else "mix: in no share", detail=leaf)

    def _find_used_ids(self, context: StepContext) -> set[str]:
        """Ids that other datasets train on: those named, and those of other experts."""
        named = [datasets.load(context.workspace, name) for name in self.without]
        found = {r.id for dataset in named for r in datasets.read(context.workspace, dataset)}
        others: list[str] = []
        for name in context.workspace.names("dataset") if self.expert and "all" not in self.again else ():
            dataset = datasets.load(context.workspace, name, "dataset")
            expert = _expert_of(context, dataset)
            if name != context.name and expert and expert not in (self.expert, *self.again):
                others.append(f"{dataset.ref} ({expert})")
                found |= {r.id for r in datasets.read(context.workspace, dataset, "train")}
        context.note("mix", expert=self.expert, other_experts=others, used_by_them=len(found))
        return found

    def find_leaf(self, record: Record) -> str:
        """The path of the share a record belongs to; empty for none."""
        shares: tuple[Share, ...] = self.shares or (Share(name="all", share=1.0),)
        path = ""
        while shares:
            found = next((s for s in shares if _matches(record, s)), None)
            if found is None:
                return ""
            path, shares = f"{path}/{found.name}".lstrip("/"), found.parts
        return path

    def _build_pools(self, records: Iterable[Record], used: set[str]) -> dict[str, list[str]]:
        """Leaf -> ids in the order they are taken, caps applied."""
        found: dict[str, list[tuple[tuple[float, bytes], str, str, str]]] = {
            leaf: [] for leaf, _ in self.allocate_leaves(1)
        }
        for record in records:
            leaf = self.find_leaf(record)
            if leaf and record.id not in used:
                found[leaf].append((self._sort_key(record), record.id, family_of(record), record.origin.source))
        seen: Counter[str] = Counter()
        pools: dict[str, list[str]] = defaultdict(list)
        for leaf, items in found.items():
            pools[leaf] = []
            for _, key, of_family, of_source in sorted(items):
                names = (f"family {of_family}", f"source {of_source}")
                caps = (self.per_family, self.per_source)
                if any(cap and seen[name] >= cap for name, cap in zip(names, caps, strict=True)):
                    continue
                seen.update(names)
                pools[leaf].append(key)
        return pools

    def _sort_key(self, record: Record) -> tuple[float, bytes]:
        """The order of taking; among equals by a hash that has nothing to do with the one that decides on sides."""
        mark = blake2b(record.id.encode(), digest_size=8, person=b"mix").digest()
        if self.order == "quality":
            return -total_score(record), mark
        return (-float(len(datasets.answer_text(record))) if self.order == "longest" else 0.0), mark

    def allocate_leaves(self, total: int) -> list[tuple[str, int]]:
        """(leaf, records) for a total, exact at every level."""
        return list(_divide_shares(self.shares or (Share(name="all", share=1.0),), total, ""))

    def _allocate_total(self, pools: dict[str, list[str]]) -> dict[str, int]:
        if self.total:
            return dict(self.allocate_leaves(self.total))
        low, high = 0, sum(map(len, pools.values()))
        while low < high:
            middle = (low + high + 1) // 2
            if all(n <= len(pools[leaf]) for leaf, n in self.allocate_leaves(middle)):
                low = middle
            else:
                high = middle - 1
        return dict(self.allocate_leaves(low))

    def _report_shares(self, account: list[Json], context: StepContext) -> None:
        gaps = {str(row["share"]): int(str(row["asked"])) - int(str(row["given"])) for row in account}
        short = {share: gap for share, gap in gaps.items() if gap}
        text = "; ".join(f"{gap} more of {share}{self._describe_share(share)}" for share, gap in short.items())
        context.note("mix", shares=account, shortfall=text)
        if short and self.missing == "refuse":
            raise RefusedError(f"the mixture cannot be filled ({text} would fill it)")
        if short:
            context.short.update(short)
            context.run.event("notice", text=f"the mixture is {sum(short.values())} short: {text} would fill it")

    def _describe_share(self, leaf: str) -> str:
        """What a record must match to fill a share, in brackets."""
        fields: list[str] = []
        shares = self.shares
        for name in leaf.split("/"):
            found = next((share for share in shares if share.name == name), None)
            if found is None:
                break
            fields += [f"{field} {' or '.join(values)}" for field, values in found.match.items()]
            shares = found.parts
        return f" ({', '.join(fields)})" if fields else ""


def _expert_of(context: StepContext, dataset: Dataset) -> str:
    """The expert a dataset was mixed for, or nothing."""
    curation = datasets.load_curation(context.workspace, dataset)
    steps = curation.config.get("steps") if curation is not None else None
    mixes = [step for step in steps if isinstance(step, dict)] if isinstance(steps, list) else []
    return next((str(step.get("expert", "")) for step in mixes if step.get("use") == "mix"), "")


def _matches(record: Record, share: Share) -> bool:
    for field, values in share.match.items():
        if field not in _FIELDS:
            raise ConfigError(f"shares.{share.name}.match", f"no field {field!r}; there are: {', '.join(_FIELDS)}")
        if _FIELDS[field](record) not in values:
            return False
    return True


def _divide_shares(shares: tuple[Share, ...], total: int, path: str) -> Iterator[tuple[str, int]]:
    if len({s.name for s in shares}) < len(shares):
        raise ConfigError("shares", "two shares have one name")
    if min(s.share for s in shares) < 0 or not any(s.share for s in shares):
        raise ConfigError(
            f"shares{f' in {path}' if path else ''}", "want weights of zero or more, at least one above zero"
        )
    quota = largest_remainder({s.name: s.share for s in shares}, total)
    for share in shares:
        here = f"{path}/{share.name}".lstrip("/")
        if share.parts:
            yield from _divide_shares(share.parts, quota[share.name], here)
        else:
            yield here, quota[share.name]
