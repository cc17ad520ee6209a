"""`afs eval leaderboard`: a suite's models by the share they solved."""

from __future__ import annotations

from typing import ClassVar, cast

from afs.config import Config
from afs.errors import UsageError
from afs.evaluate import report_store
from afs.evaluate.compare import ALL
from afs.evaluate.report_store import percent
from afs.plugins import suggest_name
from afs.types import Interval, Value
from afs.workspace import Workspace


class LeaderboardConfig(Config, frozen=True, kw_only=True):
    """Rank all models evaluated on one suite."""

    positional: ClassVar[tuple[str, ...]] = ("suite",)
    suite: str
    """Name of the suite, or a prefix of its digest."""


class Standing(Value, frozen=True, kw_only=True):
    """A model's rank; models whose intervals overlap are tied."""

    place: int
    model: str
    solved: Interval
    report: str
    metric: str


class Leaderboard(Value, frozen=True, kw_only=True):
    """Models by share, for identical items, sampling and scorers."""

    suite: str
    suite_digest: str
    places: tuple[Standing, ...]

    def text(self) -> str:
        """A line a model."""
        rows = [f"{p.place:>3}  {p.model:<28} {percent(p.solved):<24} {p.report}" for p in self.places]
        head = f"{self.suite} (sha256 {self.suite_digest[:12]}): equal ranks are tied"
        return "\n".join([head, *rows])


class Leaderboards(Value, frozen=True, kw_only=True):
    """One board per set of measurement conditions."""

    boards: tuple[Leaderboard, ...]

    def text(self) -> str:
        """Board after board."""
        return "\n\n".join(board.text() for board in self.boards)


def eval_leaderboard(config: LeaderboardConfig, workspace: Workspace) -> Leaderboards:
    """A board per suite digest and measurement conditions."""
    boards: dict[tuple[str, str, str], dict[str, Standing]] = {}
    names = set()
    for report in report_store.all_reports(workspace):
        names.add(report.suite)
        if report.results.path != report_store.RESULTS:
            continue
        if config.suite != report.suite and not report.suite_digest.startswith(config.suite):
            continue
        how = f"{report.environment.get('metric')} {report.environment.get('sampling')}"
        how += f" {report.environment.get('scorers')}"
        board = boards.setdefault((report.suite, report.suite_digest, how), {})
        shares = cast(dict[str, dict[str, dict[str, float]]], report.environment.get("shares", {}))
        for model, scopes in shares.items():
            interval = Interval(**scopes[ALL])  # type: ignore[arg-type]
            metric = str(report.environment.get("metric"))
            board[model] = Standing(place=0, model=model, solved=interval, report=report.ref, metric=metric)
    if not boards:
        raise UsageError(f"no report on {config.suite!r}{suggest_name(config.suite, names)}")
    found = (
        Leaderboard(suite=suite, suite_digest=digest, places=_placed(list(board.values())))
        for (suite, digest, _), board in boards.items()
    )
    return Leaderboards(boards=tuple(found))


def _placed(places: list[Standing]) -> tuple[Standing, ...]:
    ranked = sorted(places, key=lambda p: -(p.solved.value or 0.0))
    found: list[Standing] = []
    for number, one in enumerate(ranked, 1):
        above = found[-1] if found else None
        leader = next((p for p in found if above and p.place == above.place), None)
        tied = leader is not None and (one.solved.high or 0.0) >= (leader.solved.low or 0.0)
        found.append(
            Standing(
                place=leader.place if leader and tied else number,
                model=one.model,
                solved=one.solved,
                report=one.report,
                metric=one.metric,
            )
        )
    return tuple(found)
