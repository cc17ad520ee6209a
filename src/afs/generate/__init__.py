"""Makes records in campaigns: a pack's tasks with their reference answers, or teachers' answers judged by the pack.

Every answer passes `verify` before it is written; what fails is kept beside with its verdict. The state of a campaign
lies in `campaigns/NAME/calls.db`: rerun the command to resume, and nothing is paid for twice.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial

from afs import answer_verifier, models
from afs.config import decode, load_toml
from afs.errors import AfsError, ConfigError
from afs.generate.campaign import Campaign
from afs.generate.cells import CampaignCell, build_cells, load_counts
from afs.generate.config import FOLDER, KNOBS, CellConfig, FamilyCount, GenerateConfig, KnobsFile
from afs.generate.duplicate_index import open_texts
from afs.generate.forecast import Forecast
from afs.generate.monitor import Monitor
from afs.generate.pilot import aim_pilot, forecast, limit_to_pilot
from afs.generate.preflight import refuse_contradictions, refuse_impossible
from afs.generate.write_records import write_records
from afs.model_calls import CallStore, Engine, TargetPool
from afs.model_calls.batches import BatchRunner
from afs.model_calls.budget import Budget, open_budget, refuse_unpriced
from afs.model_calls.health import poller_for
from afs.model_calls.probe import Prober
from afs.model_calls.work_protocol import Answered, Knobs, Pulse
from afs.runs import Run
from afs.types import Dataset

__all__ = ["CellConfig", "FamilyCount", "GenerateConfig", "generate"]


def generate(config: GenerateConfig, run: Run) -> Dataset | Forecast:
    """Ask for every task, judge every answer, write what passed; with `pilot`, say what the whole would cost."""
    refuse_contradictions(config)
    cells = build_cells(config, run.workspace, run.event)
    pool = models.target_pool(run.workspace, concurrency=config.concurrency)
    targets = {
        target.name: target for cell in cells for arm in cell.arms if arm.teacher for target in pool.chain(arm.teacher)
    }
    if config.pilot:
        if not targets:
            raise ConfigError("pilot", "a campaign without a teacher costs nothing; run it without a pilot")
        limit_to_pilot(cells, config.pilot)
    with run.phase(f"make {config.name}"):
        store = CallStore(run.workspace.root / FOLDER / config.name / "calls.db")
        try:
            return _run(config, run, store, cells, pool)
        finally:
            store.close()


def _run(
    config: GenerateConfig, run: Run, store: CallStore, cells: list[CampaignCell], pool: TargetPool
) -> Dataset | Forecast:
    if store.interrupted:
        run.event(
            "notice", text=f"{store.interrupted} calls were in flight when the last run ended: their cost is unknown"
        )
    budget = open_budget(run.workspace.root, store, config.budget_usd)
    try:
        refuse_unpriced(budget, pool.every)
        load_counts(store, cells)
        refuse_impossible(config, cells, pool, budget)
        if any(cell.missing > 0 for cell in cells):
            Prober(run.workspace.root, store, budget, run.event).check(pool.every, config.sampling)
        return _make(config, run, store, cells, pool, budget)
    finally:
        budget.close()


def _make(
    config: GenerateConfig, run: Run, store: CallStore, cells: list[CampaignCell], pool: TargetPool, budget: Budget
) -> Dataset | Forecast:
    with answer_verifier.open_verifier(run.workspace.root, run.workspace.jobs) as verifier:
        if config.batch_hours:
            _run_batches(config, run, store, pool, budget, verifier)
        texts = open_texts(config, run.workspace)
        campaign = Campaign(config, cells, store, pool, verifier, texts=texts)
        campaign.reopen()
        with store.transaction():
            store.note("cells", {cell.id: [cell.label, cell.count] for cell in cells})
        monitor = Monitor(run, cells)

        def ask(unjudged: Sequence[Answered] = ()) -> None:
            knobs = partial(_knobs, config, run, budget)
            with poller_for(pool.every) as poller:

                def pulse(pulse: Pulse) -> None:
                    poller.apply(pulse.targets)
                    monitor.pulse(pulse)

                engine = Engine(store, campaign, budget=budget, knobs=knobs, stop=run.check_stop, on_pulse=pulse)
                engine.run(unjudged)

        ask(campaign.unjudged())
        if config.pilot and aim_pilot(store, cells, config.pilot):
            ask()
    if waiting := sum(cell.waiting for cell in cells):
        raise AfsError(f"{waiting} answers wait for a checker that could not decide; rerun to judge them again")
    if in_batches := sum(cell.in_batches for cell in cells):
        raise AfsError(f"{in_batches} tasks are in batches that still run; rerun to collect them")
    monitor.report_shortfalls()
    if config.pilot:
        return forecast(config, store, cells)
    return write_records(config, run, store, cells)


def _run_batches(
    config: GenerateConfig,
    run: Run,
    store: CallStore,
    pool: TargetPool,
    budget: Budget,
    verifier: answer_verifier.Verifier,
) -> None:
    """First what may wait, at half price; the campaign then judges it and asks the rest one by one."""
    campaign = Campaign(config, build_cells(config, run.workspace, run.event), store, pool, verifier)
    campaign.reopen()
    runner = BatchRunner(
        store,
        campaign,
        lambda name: next((t for t in pool.every if t.name == name), None),
        budget,
        check_stop=run.check_stop,
    )
    progress = runner.run(time.time() + 3600 * config.batch_hours)
    run.event("campaign.batches", submitted=progress.submitted, answered=progress.answered, running=progress.running)


def _knobs(config: GenerateConfig, run: Run, budget: Budget) -> Knobs:
    """The knobs of the command, under those of the campaign's file; a broken file is reported and not obeyed."""
    path = run.workspace.root / FOLDER / config.name / KNOBS
    file = KnobsFile()
    if path.exists():
        try:
            file = decode(KnobsFile, load_toml(path), file=str(path))
        except ConfigError as error:
            run.event("notice", text=f"not read: {error}")
    cap = file.budget_usd if file.budget_usd is not None else config.budget_usd
    if cap is not None:
        budget.change_cap(cap)
    return Knobs(file.concurrency or config.concurrency, file.paused, config.longest_outage_s)
