"""`afs eval judge`: models judge answers that cannot be executed, calibrated on answers whose truth is known.

Disagreements become a list of task families that need new items; evaluation items are never trained on.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, NamedTuple, TypeVar

import msgspec
import numpy as np

from afs import jsonl
from afs.config import Config, load_toml
from afs.errors import ConfigError, RefusedError
from afs.evaluate import models_under_test, report, report_store
from afs.evaluate.judging import judge_reliability, vote_collection
from afs.evaluate.judging.judge_findings import JudgeHealth, Twin
from afs.evaluate.judging.judge_page import Findings, judge_pages
from afs.evaluate.judging.judge_reliability import Floats
from afs.evaluate.judging.vote_collection import Duel, JudgeTerms, Vote
from afs.evaluate.report_store import StoredReport
from afs.evaluate.result_rows import ResultRow
from afs.evaluate.suite_types import SuiteItem
from afs.manifests import file_entry, other_entries, write_manifest
from afs.model_calls.questions import LedgerTerms
from afs.model_calls.work_protocol import Knobs
from afs.providers.base import Sampling
from afs.runs import Run
from afs.types import Interval, Json, Report
from afs.workspace import MANIFEST

__all__ = ["JudgeConfig", "eval_judge"]

T = TypeVar("T")

ENOUGH_GOLD = 30
FLIPS = 0.3
"""A judge whose pairwise choice flips with the order more often than this is reported as unfit for pairs."""
EXECUTED = ("python/", "calls/")


class JudgeConfig(Config, frozen=True, kw_only=True):
    """Let models judge the answers of a report."""

    positional: ClassVar[tuple[str, ...]] = ("report",)
    report: str
    """The report whose answers are judged."""
    judge: tuple[str, ...]
    """The judges; one from another model family is worth several from the same."""
    rubric: Path | None = None
    """TOML with `criteria`, a list of yes/no questions; empty: three general criteria."""
    pairwise: bool = False
    """Also compare answers in pairs, in both orders, and rank the models by Bradley-Terry."""
    concurrency: int = 8
    """Concurrent requests."""
    sampling: Sampling = Sampling(max_tokens=256)
    """Sampling settings of the judges."""
    longest_outage_s: float = 300.0
    """How long to wait when a judge cannot be called, before the run ends; rerun to resume."""
    budget_usd: float | None = None
    """Most that all calls of this run may cost; the worst case of a call is reserved before it is sent."""


class PanelVotes(NamedTuple):
    """The votes as numbers."""

    rows: list[ResultRow]
    judges: list[str]
    votes: Floats
    gold: Floats


def eval_judge(config: JudgeConfig, run: Run) -> Report:
    """Ask the judges, calibrate them on known truth, and store every model's corrected score."""
    if not config.judge:
        raise ConfigError("judge", "at least one judge is needed")
    source = report_store.load(run.workspace, config.report)
    items = {item.id: item for item in report_store.items(run.workspace, source)}
    rows = [r for r in report_store.table(run.workspace, source).rows if r.outcome == "answered" and r.epoch == 0]
    names = _ask(config, run, items, rows)
    votes = list(jsonl.read(run.folder / "votes.jsonl", Vote))
    duels_path = run.folder / "duels.jsonl"
    duels = list(jsonl.read(duels_path, Duel)) if duels_path.exists() else []
    panel_votes = _panel(rows, items, votes, names)
    if not (~np.isnan(panel_votes.gold)).any():
        raise RefusedError(
            f"{source.ref}: no answer was checked by execution, so the judges cannot be calibrated; "
            "add items with a check to the suite"
        )
    if np.isnan(panel_votes.votes).all():
        first = votes[0].error or votes[0].reply if votes else ""
        raise RefusedError(
            f"{source.ref}: not one of {len(votes)} votes can be read; the first reply is {first[:120]!r}. "
            "A judge must answer each criterion by its number, a colon, and yes or no"
        )
    return _store(run, source, panel_votes, votes, duels)


def _ask(config: JudgeConfig, run: Run, items: dict[str, SuiteItem], rows: Sequence[ResultRow]) -> list[str]:
    rubric = _rubric(config.rubric)
    knobs = Knobs(config.concurrency, longest_outage_s=config.longest_outage_s)
    calls = LedgerTerms(run.workspace.root, run.folder, knobs, config.budget_usd, stop=run.check_stop)
    names = []
    for spec in config.judge:
        subject = models_under_test.find_subject(run.workspace, spec)
        judge = models_under_test.open_subject(run.workspace, subject, models_under_test.CallLimits()).provider
        names.append(judge.name)
        terms = JudgeTerms(judge, rubric, config.sampling, config.concurrency, run.folder / "votes.jsonl", calls)
        with run.phase(f"votes of {judge.name}"):
            done = {(v.item, v.model, v.judge) for v in _read_rows(terms.path, Vote) if not v.error}
            vote_collection.collect_votes(terms, items, rows, {tuple(key) for key in done})
            run.check_stop()
        if config.pairwise:
            terms = terms._replace(path=run.folder / "duels.jsonl")
            known = {(d.item, d.first, d.second, d.judge) for d in _read_rows(terms.path, Duel)}
            vote_collection.collect_duels(
                terms, items, vote_collection.answer_pairs(rows), {tuple(key) for key in known}
            )
            run.check_stop()
    return names


def _read_rows(path: Path, kind: type[T]) -> list[T]:
    return list(jsonl.read(path, kind, lambda *_: None)) if path.exists() else []


def _rubric(path: Path | None) -> Sequence[str]:
    if path is None:
        return vote_collection.RUBRIC
    criteria = load_toml(path).get("criteria")
    if not isinstance(criteria, list) or not criteria or not all(isinstance(c, str) for c in criteria):
        raise ConfigError("criteria", "want a list of yes/no questions", file=str(path))
    return criteria


def _panel(rows: list[ResultRow], items: dict[str, SuiteItem], votes: Sequence[Vote], judges: list[str]) -> PanelVotes:
    table = np.full((len(rows), len(judges)), np.nan)
    places = {(row.item, row.model): i for i, row in enumerate(rows)}
    for vote in votes:
        place = places.get((vote.item, vote.model))
        if place is not None and vote.value is not None and vote.judge in judges and vote.judge != vote.model:
            table[place, judges.index(vote.judge)] = vote.value
    gold = [float(row.ok) if row.ok is not None and _is_executed(items[row.item], row) else np.nan for row in rows]
    return PanelVotes(rows, judges, table, np.asarray(gold, dtype=np.float64))


def _is_executed(item: SuiteItem, row: ResultRow) -> bool:
    """Whether the row's verdict comes from execution, not from text similarity."""
    return not item.scorer or row.scorer.startswith(EXECUTED)


def corrected_scores(panel_votes: PanelVotes) -> dict[str, Interval]:
    """Every model's score by PPI++ over the cross-fitted panel."""
    chances = judge_reliability.crossfit(panel_votes.votes, panel_votes.gold)
    found = {}
    for model in dict.fromkeys(row.model for row in panel_votes.rows):
        mine = np.array([row.model == model for row in panel_votes.rows])
        known = mine & ~np.isnan(panel_votes.gold)
        found[model] = judge_reliability.ppi_interval(
            panel_votes.gold[known], chances[known], chances[mine & np.isnan(panel_votes.gold)]
        )
    return found


def judge_health(panel_votes: PanelVotes, votes: Sequence[Vote], duels: Sequence[Duel]) -> list[JudgeHealth]:
    """Reliability of each judge."""
    found = []
    for place, judge in enumerate(panel_votes.judges):
        mine = panel_votes.votes[:, place]
        right, wrong = mine[panel_votes.gold == 1], mine[panel_votes.gold == 0]
        yes, no = right[~np.isnan(right)], 1 - wrong[~np.isnan(wrong)]
        asked = [duel for duel in duels if duel.judge == judge and duel.win is not None]
        flips = sum(duel.flipped for duel in asked) / len(asked) if asked else None
        sensitivity = float(yes.mean()) if len(yes) else None
        specificity = float(no.mean()) if len(no) else None
        own = [vote for vote in votes if vote.judge == judge]
        found.append(
            JudgeHealth(
                judge=judge,
                votes=int((~np.isnan(mine)).sum()),
                abstained=sum(vote.value is None for vote in own),
                sensitivity=sensitivity,
                specificity=specificity,
                flip_rate=flips,
                note=_note(sensitivity, specificity, flips) if (~np.isnan(mine)).any() else "gave no vote",
            )
        )
    return found


def _note(sensitivity: float | None, specificity: float | None, flips: float | None) -> str:
    notes = []
    if sensitivity is not None and specificity is not None and sensitivity + specificity < 1.1:
        notes.append("no better than chance")
    if flips is not None and flips > FLIPS:
        notes.append("follows the order of the answers")
    return ", ".join(notes)


def propose_twins(panel_votes: PanelVotes, items_family: dict[str, str]) -> list[Twin]:
    """Answers the judges disagree on, the most uncertain first."""
    chances = judge_reliability.crossfit(panel_votes.votes, panel_votes.gold)
    found = [
        Twin(family=items_family[row.item], item=row.item, model=row.model, chance=round(float(chance), 3))
        for row, chance, gold, votes in zip(panel_votes.rows, chances, panel_votes.gold, panel_votes.votes, strict=True)
        if not np.isnan(votes).all() and _at_odds(float(chance), float(gold), votes)
    ]
    return sorted(found, key=lambda twin: abs(twin.chance - 0.5))


def _at_odds(chance: float, gold: float, votes: Floats) -> bool:
    """Whether the panel is uncertain, or contradicts the known truth."""
    return 0.25 < chance < 0.75 if np.isnan(gold) else bool(abs(gold - np.nanmean(votes)) > 0.5)


def _findings(panel_votes: PanelVotes, votes: Sequence[Vote], duels: Sequence[Duel]) -> Findings:
    """Summarize the votes."""
    truth = np.where(
        np.isnan(panel_votes.gold), judge_reliability.crossfit(panel_votes.votes, panel_votes.gold), panel_votes.gold
    )
    heard = panel_votes.votes[:, ~np.isnan(panel_votes.votes).all(axis=0)]
    return Findings(
        scores=corrected_scores(panel_votes),
        judges=judge_health(panel_votes, votes, duels),
        ranked=_ranking(duels),
        twins=propose_twins(panel_votes, {row.item: row.family for row in panel_votes.rows}),
        panel=judge_reliability.effective_size(heard, truth),
        gold=int((~np.isnan(panel_votes.gold)).sum()),
    )


def _notes(found: Findings) -> list[str]:
    """The findings as sentences."""
    notes = [f"{name}: {report_store.percent(interval)} % right" for name, interval in found.scores.items()]
    notes += [_describe_judge(judge) for judge in found.judges]
    count = len(found.judges)
    notes.append(f"{count} judges are worth {found.panel:.1f} independent ones; {found.gold} answers of known truth.")
    notes.append(
        f"{len(found.twins)} answers the judges disagree on: twins.jsonl lists the task families that need new items."
    )
    if found.gold < ENOUGH_GOLD:
        notes.append(f"Fewer than {ENOUGH_GOLD} answers of known truth: the intervals are wide.")
    return notes + [
        f"strength of {name}: {i.value:+.2f} [{i.low:+.2f}, {i.high:+.2f}]" for name, i in found.ranked.items()
    ]


def _verdict(found: Findings) -> str:
    """The best model, and the models tied with it."""
    order = sorted(found.scores, key=lambda name: -(found.scores[name].value or 0.0))
    first, rest = found.scores[order[0]], order[1:]
    tied = [name for name in rest if (found.scores[name].high or 0.0) >= (first.low or 0.0)]
    text = f"By the corrected votes of {len(found.judges)} judges {order[0]} is first"
    return f"{text}, and not to be panel_votes apart from {', '.join(tied)}." if tied else f"{text}."


def _store(
    run: Run, source: StoredReport, panel_votes: PanelVotes, votes: Sequence[Vote], duels: Sequence[Duel]
) -> StoredReport:
    found = _findings(panel_votes, votes, duels)
    verdict, notes = _verdict(found), _notes(found)
    environment: Json = {
        "verdict": verdict,
        "notes": notes,
        "report": source.ref,
        "subject_digest": source.environment.get("subject_digest", ""),
        "judges": msgspec.to_builtins(found.judges),
        "effective_panel": found.panel,
        "gold": found.gold,
        "ranking": msgspec.to_builtins(found.ranked),
        "metric": "judged",
    }
    facts = report.facts_of(source, report_store.items(run.workspace, source), f"afs eval judge {source.ref}", run.id)
    shown = judge_pages(facts, report_store.table(run.workspace, source), found, (verdict, *notes))
    with run.workspace.new_version("report", f"{source.ref.partition('@')[0]}-judged") as (ref, folder):
        for name, rows in (("votes", votes), ("duels", duels), ("twins", found.twins)):
            jsonl.write(folder / f"{name}.jsonl", rows)
        for file, content in shown:
            jsonl.replace(folder / file, content)
        made = StoredReport(
            ref=str(ref),
            subject=source.subject,
            suite=source.suite,
            suite_digest=source.suite_digest,
            results=file_entry(folder, folder / "votes.jsonl", len(votes)),
            summary={f"judged:{name}": interval for name, interval in found.scores.items()},
            environment=environment,
            run=run.id,
        )
        made = write_manifest(
            folder / MANIFEST, msgspec.structs.replace(made, files=other_entries(folder, [made.results]))
        )
    return made


def _describe_judge(judge: JudgeHealth) -> str:
    def share(value: float | None) -> str:
        return "unknown" if value is None else f"{value:.2f}"

    text = (
        f"{judge.judge}: says yes to {share(judge.sensitivity)} of the right and no to {share(judge.specificity)} of "
    )
    text += f"the wrong answers, {judge.abstained} abstentions of {judge.votes + judge.abstained}"
    text += f", flips {share(judge.flip_rate)}" if judge.flip_rate is not None else ""
    return text + (f" ({judge.note})" if judge.note else "") + "."


def _ranking(duels: Sequence[Duel]) -> dict[str, Interval]:
    decided = [duel for duel in duels if duel.win is not None]
    names = sorted({name for duel in decided for name in (duel.first, duel.second)})
    if len(names) < 2:
        return {}
    rows = [(names.index(d.first), names.index(d.second), d.win or 0.0) for d in decided]
    return dict(
        zip(
            names,
            judge_reliability.bradley_terry_intervals(np.asarray(rows, dtype=np.float64), len(names)),
            strict=True,
        )
    )
