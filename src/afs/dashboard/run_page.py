"""One run: where it stands, its curves in one view, evaluations, checkpoints, guard, money, samples, its own config."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from afs.dashboard.curve_charts import render_chart
from afs.dashboard.dashboard_state import Views
from afs.dashboard.home_page import LIVE
from afs.dashboard.page_parts import (
    Page,
    PagePart,
    badge,
    bar,
    cite,
    code,
    details,
    figures,
    format_moment,
    format_number,
    format_seconds,
    format_span,
    format_usd,
    heading,
    link,
    mark,
    paragraph,
    table,
)
from afs.dashboard.run_charts import overlay, run_charts
from afs.dashboard.run_facts import RunFacts, last_reading, name_of, read_config, read_facts, read_json
from afs.dashboard.run_history import Noted
from afs.dashboard.run_index import FollowedRun
from afs.dashboard.run_liveness import MEANING
from afs.intervals import share_interval
from afs.pages import Html, escape_text, format_percent, join

_SHOWN = 30
_FIRST = 5
OVERLAID = 6
"""Most runs over each other: the colors end here."""


def run_page(views: Views, run: FollowedRun, others: Sequence[str] = ()) -> Page:
    """The page of a run, with other runs over it."""
    facts = read_facts(run)
    is_training = bool(run.track.steps)
    drawn = [render_chart(chart) for chart in run_charts(run.track)] if is_training else []
    charts = join([heading("Curves", _curves_hint(run)), *drawn]) if is_training else Html("")
    parts = [
        PagePart("state", join([_state(run, facts), _figures(run, facts)])),
        PagePart("attention", _attention(run)),
        PagePart("charts", charts, every_s=-1),
        PagePart("overlay", _overlay(views, run, others) if is_training else Html(""), every_s=-1),
        PagePart("evaluations", _evaluations(run)),
        PagePart("samples", _samples(run)),
        PagePart("checkpoints", _checkpoints(run)),
        PagePart("notices", _notices(run)),
        PagePart("config", _config(run)),
    ]
    title = f"{facts.verb} {facts.name}".strip() or run.id
    return Page(
        f"run-{run.id}.html",
        title,
        parts,
        follows=run.id,
        step=run.track.step,
    )


def _curves_hint(run: FollowedRun) -> str:
    text = "drag to zoom, double-click to see all; the same step is marked in every chart"
    if run.is_sampled:
        text = "the log is large: samples of it are shown until it is read whole, which takes a few seconds"
    return text


def _state(run: FollowedRun, facts: RunFacts) -> Html:
    status = f"runs/{run.id}/status.json"
    parts = [Html('<p class="state">'), badge(facts.liveness), " ", MEANING[facts.liveness], Html("</p>")]
    if facts.problem:
        parts += [Html('<p class="bad">'), cite(facts.problem, status), Html("</p>")]
    if facts.total:
        parts += [Html('<div class="progress">'), bar(facts.step, facts.total, "progress"), Html("</div>")]
    if facts.result:
        parts.append(paragraph(join(["Result: ", cite(facts.result, status)])))
    return join(parts)


def _figures(run: FollowedRun, facts: RunFacts) -> Html:
    return figures([row for row in _figure_rows(run, facts) if row[1] != ""])


def _figure_rows(run: FollowedRun, facts: RunFacts) -> Iterator[tuple[str, object, str]]:
    log, status = f"runs/{run.id}/events.jsonl", f"runs/{run.id}/status.json"
    track = run.track
    at = track.last_step_offset or None
    if facts.total:
        yield "progress", cite(f"{facts.step:,} of {facts.total:,} {facts.what}", log, at), ""
    if facts.liveness in LIVE:
        hint = "at the pace of the latest steps, evaluations included; 95 % interval"
        yield "time left", format_span(facts.eta_s), hint
    yield "took", cite(format_seconds(facts.seconds), status), f"since {format_moment(facts.started)}"
    if facts.liveness in LIVE and facts.quiet_s > 5:
        yield "silent for", cite(format_seconds(facts.quiet_s), log), "since the last event"
    if facts.loss is not None:
        yield "loss", cite(format_number(facts.loss), log, at), "of the last step; lower is better"
    if track.stage and track.stage != "main":
        yield "stage", cite(track.stage, log, at), f"part of the training, epoch {track.epoch}"
    elif track.epoch:
        yield "epoch", cite(track.epoch, log, at), "pass over the training data"
    if facts.cost_usd is not None or track.steps:
        device = last_reading(run, "cost_usd")[1]
        cost = format_usd(facts.cost_usd)
        hint = (
            f"{format_usd(facts.projected_usd)} at its end"
            if facts.projected_usd is not None
            else "no price: set usd_per_hour"
        )
        yield "money", cite(cost, log, device.offset if device else None), hint
    yield from _device_rows(run)


def _device_rows(run: FollowedRun) -> Iterator[tuple[str, object, str]]:
    log = f"runs/{run.id}/events.jsonl"
    speed = run.track.values["tokens_s"]
    if speed:
        recent = sorted(value for value in speed[-50:] if value == value)
        if recent:
            yield (
                "tokens/s",
                cite(f"{recent[len(recent) // 2]:,.0f}", log, run.track.last_step_offset),
                "median of 50 steps",
            )
    rows = (
        ("mfu", "MFU", "share of the device's peak speed that the training uses", "{:.0%}"),
        ("gpu_use", "GPU busy", "share of the time in which it computes", "{:.0%}"),
        ("temperature_c", "GPU heat", "above 85 °C most cards slow down", "{:.0f} °C"),
        ("power_w", "GPU power", "", "{:.0f} W"),
    )
    for name, title, hint, form in rows:
        value, noted = last_reading(run, name)
        if value is not None and noted is not None:
            yield title, cite(form.format(value), log, noted.offset), hint
    used, noted = last_reading(run, "gpu_memory")
    if used is not None and noted is not None:
        total = noted.number("gpu_memory_total")
        of = f" of {total / 2**30:.0f}" if total else ""
        yield "GPU memory", cite(f"{used / 2**30:.1f}{of} GiB", log, noted.offset), "in use by all programs"
    begin = run.track.latest.get("train.begin")
    if begin is not None:
        yield "machine", cite(begin.text("machine") or begin.text("device"), log, begin.offset), "where it trains"


def _attention(run: FollowedRun) -> Html:
    actions = [n for n in run.track.guards if n.text("event") != "train.guard" or n.text("action") != "rollback"]
    rows = [_guard_row(run, noted) for noted in reversed(actions)]
    broken = paragraph(f"{run.track.broken} lines of the log cannot be read and are left out.", "odd")
    parts = [broken] if run.track.broken else []
    if rows:
        hint = (
            "the guard watches loss, gradient and time: it warns, skips a batch, rolls back to a checkpoint, or stops"
        )
        head = ("when", "step", "action", "rule", "why")
        parts += [heading("Guard", hint), table(head, rows[:_FIRST])]
        if len(rows) > _FIRST:
            parts.append(details(f"{len(rows) - _FIRST} before", table(head, rows[_FIRST:])))
    return join(parts)


def _guard_row(run: FollowedRun, noted: Noted) -> tuple[object, ...]:
    action = noted.text("action") or noted.text("event").removeprefix("train.")
    kind = {"warn": "odd", "skip": "odd", "drift": "odd"}.get(action, "bad")
    why = noted.text("reason") or noted.text("differs")
    if action == "rollback" and noted.text("to"):
        why = f"back to step {noted.text('to')}, rate times {noted.text('rate_scale')}: {why}"
    step = noted.text("step") or noted.text("at") or noted.text("batch")
    return (
        cite(format_moment(noted.time), f"runs/{run.id}/events.jsonl", noted.offset),
        step,
        mark(action, kind),
        noted.text("rule"),
        why,
    )


def _overlay(views: Views, run: FollowedRun, others: Sequence[str]) -> Html:
    candidates = [
        one
        for one in views.index.runs
        if one.id != run.id and one.state is not None and one.state.verb.startswith("train")
    ]
    if not candidates:
        return Html("")
    chosen = [one for one in candidates if one.id in others][: OVERLAID - 1]
    boxes = join(
        Html(
            f'<label><input type="checkbox" name="with" value="{escape_text(one.id)}"'
            f"{' checked' if one in chosen else ''}> {escape_text(name_of(one))} "
            f'<span class="soft">{escape_text(one.id)}</span></label>'
        )
        for one in candidates[:_SHOWN]
    )
    form = Html(f'<form method="get" class="choices">{boxes}<button>Lay over this run</button></form>')
    charts = Html("")
    if chosen:
        charts = join(
            render_chart(chart) for chart in overlay([run, *chosen], lambda one: f"{name_of(one)} {one.id[4:13]}")
        )
    return join(
        [heading("Beside other runs"), charts, details("choose runs", form, is_open=not chosen and bool(others))]
    )


def _evaluations(run: FollowedRun) -> Html:
    rows: list[tuple[object, ...]] = []
    for noted in list(run.track.evaluations)[: -_SHOWN - 1 : -1]:
        share, count = noted.number("verified"), int(noted.number("probes") or 0)
        solved = format_percent(share_interval(round((share or 0) * count), count)) if share is not None else ""
        loss = cite(format_number(noted.number("loss")), f"runs/{run.id}/events.jsonl", noted.offset)
        rows.append(
            (int(noted.number("step") or 0), loss, solved, f"{count} tasks" if count else "", noted.text("unknown"))
        )
    if not rows:
        return Html("")
    hint = "held-out loss is measured on text that was not trained on; probe tasks are answered and the answers run"
    head = ("step", "held-out loss", "tasks solved", "", "could not be judged")
    return join([heading("Evaluations during the training", hint), table(head, rows)])


def _samples(run: FollowedRun) -> Html:
    found = list(run.track.samples)[-12:]
    if not found:
        return Html("")
    hint = "answers to the same held-out tasks at each evaluation: watch them change"
    return join([heading("Answers over time", hint), *(_sample(run, noted) for noted in reversed(found))])


def _sample(run: FollowedRun, noted: Noted) -> Html:
    rows = noted.fields.get("answers")
    answers = [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
    if not answers:
        answers = [{"stage": noted.text("stage"), "reason": noted.text("reason"), "answer": noted.text("answer")}]
    parts = []
    for row in answers[:4]:
        ok = row.get("ok")
        verdict = (
            mark("passed", "good")
            if ok is True
            else mark(f"{row.get('stage') or 'not judged'}", "odd" if ok is None else "bad")
        )
        task = paragraph(row["task"], "task") if row.get("task") else Html("")
        parts.append(
            join([task, paragraph(join([verdict, " ", row.get("reason") or ""])), code(str(row.get("answer", "")))])
        )
    when = noted.text("step") and f"step {noted.text('step')}, "
    record = paragraph(cite("record", f"runs/{run.id}/events.jsonl", noted.offset), "soft")
    return details(f"{when}{format_moment(noted.time)}", join([*parts, record]), is_open=noted is run.track.samples[-1])


def _checkpoints(run: FollowedRun) -> Html:
    folder = run.folder / "checkpoints"
    record = read_json(run.folder / "record.json")
    state = record.get("state")
    best = state.get("best") if isinstance(state, dict) else None
    best_batch = best.get("batch") if isinstance(best, dict) else None
    kept = {int(p.name[6:]) for p in folder.glob("batch-*") if p.name[6:].isdigit()} if folder.is_dir() else set()
    rows: list[tuple[object, ...]] = []
    for noted in list(run.track.checkpoints)[::-1]:
        batch = int(noted.number("batch") or 0)
        if batch not in kept:
            continue
        size = noted.number("bytes")
        name = f"runs/{run.id}/checkpoints/batch-{batch:08d}/manifest.json"
        marks = join([mark("verified", "good"), " ", mark("best", "good") if batch == best_batch else Html("")])
        rows.append(
            (cite(f"step {batch:,}", name), format_moment(noted.time), f"{(size or 0) / 2**20:,.1f} MiB", marks)
        )
        kept.discard(batch)
    torn = [p.name for p in folder.glob("torn-*")] if folder.is_dir() else []
    rows += [(name, "", "", mark("damaged, set aside", "bad")) for name in torn]
    if not rows:
        return Html("")
    hint = "places to which the run can return; verified means that every file was read back and its hash compared"
    shown = table(("checkpoint", "written", "size", ""), rows[:1000])
    return join([heading("Checkpoints", hint), details(f"{len(rows)} kept", shown, is_open=len(rows) <= 8)])


def _notices(run: FollowedRun) -> Html:
    rows = [
        (
            cite(format_moment(noted.time), f"runs/{run.id}/events.jsonl", noted.offset),
            noted.text("text") or noted.text("event"),
        )
        for noted in reversed(run.track.notices)
    ][:_SHOWN]
    return join([heading("What it said"), table(("when", "notice"), rows)]) if rows else Html("")


def _config(run: FollowedRun) -> Html:
    stored = read_config(run)
    if not stored.table:
        return join([heading("Config"), paragraph("config.json cannot be read.", "bad")])
    text = msgspec.json.format(msgspec.json.encode(stored.table), indent=2).decode()
    same = {
        True: mark("as the run began", "good"),
        False: mark("changed since the run began", "bad"),
        None: mark("not compared: the run recorded no digest", "soft"),
    }[stored.is_same]
    line = join([cite("config.json", f"runs/{run.id}/config.json"), f" digest {stored.digest[:16]} ", same])
    parents = run.state.parents if run.state else ()
    from_text = paragraph("Made from " + ", ".join(parents)) if parents else Html("")
    return join(
        [
            heading("Config", "this run's own, whatever the recipe says by now"),
            paragraph(line),
            from_text,
            details("show", code(text, "json")),
        ]
    )


def missing_page(name: str, what: str) -> Page:
    """A page for something that is not there."""
    body = join([paragraph(what), paragraph(link("index.html", "Home"))])
    return Page(name, "Not found", [PagePart("missing", body)])
