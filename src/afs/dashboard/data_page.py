"""Data: stored sets, how each was made and from what, what it lacks, and its records by search."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from itertools import islice

import msgspec

from afs import datasets
from afs.dashboard.dashboard_state import Views
from afs.dashboard.page_parts import Page, PagePart, bar, cite, details, heading, link, mark, paragraph, table
from afs.dashboard.text_markup import render_facts, render_text
from afs.data.browse import ShowConfig, show
from afs.errors import AfsError
from afs.pages import Html, join
from afs.registry.lineage import list_artifacts
from afs.types import Curation, Dataset, Record, Ref

_SHOWN = 10
_COUNTED = 5_000


def data_page(views: Views) -> Page:
    """Every set, newest version first."""
    rows = [_set_row(ref, dataset) for ref, dataset in reversed(views.stored.datasets())]
    hint = (
        "records come from sources and campaigns; datasets are curated from records and divided for training and tests"
    )
    head = ("set", "kind", "records", "splits", "left out", "licenses", "made from", "run")
    body = table(head, rows) if rows else paragraph("Nothing stored yet: `afs ingest` or `afs generate`.")
    return Page("data.html", "Data", [PagePart("sets", join([paragraph(hint, "hint"), body]))])


def _folder(ref: Ref) -> str:
    return f"{'datasets' if ref.kind == 'dataset' else 'records'}/{ref.name}/{ref.version}"


def _set_row(ref: Ref, dataset: Dataset) -> Sequence[object]:
    count = sum(split.count for split in dataset.splits)
    dropped = sum(number for name, number in dataset.counts.items() if name.startswith("dropped:"))
    return (
        link(f"data-{ref.kind}-{ref.name}-{ref.version}.html", dataset.ref),
        dataset.kind,
        cite(f"{count:,}", f"{_folder(ref)}/manifest.json"),
        ", ".join(f"{split.name} {split.count:,}" for split in dataset.splits),
        dropped,
        ", ".join(f"{name} {number:,}" for name, number in dataset.licenses.items()),
        ", ".join(dataset.parents),
        link(f"run-{dataset.run}.html", dataset.run) if dataset.run else "",
    )


def find_set(views: Views, stem: str) -> tuple[Ref, Dataset] | None:
    """The set that a page's name means: `KIND-NAME-VERSION`."""
    for ref, dataset in views.stored.datasets():
        if stem == f"{ref.kind}-{ref.name}-{ref.version}":
            return ref, dataset
    return None


def set_page(views: Views, stem: str, query: Mapping[str, Sequence[str]]) -> Page | None:
    """One set; the query filters its records."""
    found = find_set(views, stem)
    if found is None:
        return None
    ref, dataset = found
    parts = [
        PagePart("lineage", _lineage(views, ref, dataset), every_s=-1),
        PagePart("curation", _curation(views, dataset), every_s=-1),
        PagePart("mix", _mix(views, dataset), every_s=-1),
        PagePart("records", _records(views, dataset, query), every_s=-1),
    ]
    return Page(f"data-{stem}.html", f"{dataset.kind} {dataset.ref}", parts)


def _lineage(views: Views, ref: Ref, dataset: Dataset) -> Html:
    trained = [one.ref for one in list_artifacts(views.workspace) if one.dataset == dataset.ref]
    used = [
        other.ref
        for _, other in views.stored.datasets()
        if dataset.ref in {p.rpartition(":")[2] for p in other.parents}
    ]
    run = link(f"run-{dataset.run}.html", dataset.run) if dataset.run else "unknown"
    rows = [
        ("made by", run),
        ("made from", ", ".join(dataset.parents) or "nothing stored"),
        ("curated into", ", ".join(used) or "nothing"),
        ("trained on it", ", ".join(trained) or "no model"),
        ("digest", cite(dataset.digest[:16], f"{_folder(ref)}/manifest.json")),
    ]
    return join([heading("Lineage", "where it comes from and what was made of it"), table(("", ""), rows)])


def _curation(views: Views, dataset: Dataset) -> Html:
    try:
        made = datasets.load_curation(views.workspace, dataset)
    except AfsError as error:
        return paragraph(str(error), "bad")
    if made is None:
        return Html("")
    rows = [
        (
            stage.step,
            stage.records,
            ", ".join(f"{why} {count:,}" for why, count in stage.dropped.items()),
            f"+{stage.added:,}" if stage.added else "",
        )
        for stage in made.funnel
    ]
    hint = "each step, how many records it left, and why others were dropped"
    shown = table(("step", "records after", "dropped", "added"), rows)
    return join([heading("How it was curated", hint), shown, _warnings(made), _controls(made), _groups(made)])


def _warnings(made: Curation) -> Html:
    items = [*made.warnings, *(f"{count:,} {what} missing" for what, count in made.shortfall.items())]
    return join(paragraph(text, "odd") for text in items)


def _controls(made: Curation) -> Html:
    if not made.controls:
        return Html("")
    rows = []
    for one in made.controls:
        is_right = one.rejected == (0 if one.good else one.planted)
        word = mark("as it should be", "good") if is_right else mark("look here", "odd")
        rows.append((one.kind, "good" if one.good else "bad", one.planted, one.rejected, word))
    hint = "known good and bad samples were planted: the bad ones should be rejected, the good ones kept"
    return join([heading("Planted controls", hint, 3), table(("kind", "it is", "planted", "rejected", ""), rows)])


def _groups(made: Curation) -> Html:
    note = made.notes.get("dedup")
    if not isinstance(note, dict):
        return Html("")
    clusters, guarded = note.get("clusters"), note.get("guarded")
    text = f"{clusters} groups of near-duplicates; {guarded} pairs kept apart because they state different facts."
    return paragraph(text)


def _mix(views: Views, dataset: Dataset) -> Html:
    """Shares of families in the first records, beside the target of the curation."""
    try:
        counts = Counter(record.kind or "none" for record in islice(datasets.read(views.workspace, dataset), _COUNTED))
    except AfsError as error:
        return paragraph(str(error), "bad")
    total = sum(counts.values())
    if not total:
        return Html("")
    rows = [(kind, bar(count, total, f"share of {kind}"), count) for kind, count in counts.most_common(30)]
    whole = sum(split.count for split in dataset.splits)
    of = f"of the first {total:,} of {whole:,} records" if whole > total else f"of all {total:,} records"
    return join([heading("Mix", f"kinds {of}"), table(("kind", "share", "records"), rows)])


def _records(views: Views, dataset: Dataset, query: Mapping[str, Sequence[str]]) -> Html:
    def one(name: str) -> str:
        return (query.get(name) or [""])[0][:200]

    skip = int(one("skip")) if one("skip").isdigit() and len(one("skip")) < 9 else 0
    config = ShowConfig(
        ref=dataset.ref,
        n=_SHOWN,
        skip=skip,
        find=one("find"),
        family=one("family"),
        split=one("split"),
        dropped=one("dropped"),
        id=one("id"),
    )
    form = _search_form(dataset, config)
    try:
        found = show(config, views.workspace)
    except AfsError as error:
        return join([heading("Records"), form, paragraph(str(error), "bad")])
    reasons = found.reasons or ("",) * len(found.records)
    cards = [_record(record, reason) for record, reason in zip(found.records, reasons, strict=True)]
    more = link(_next(dataset, config), f"the next {_SHOWN}") if len(cards) == _SHOWN else Html("")
    none = paragraph("No record fits.") if not cards else Html("")
    return join([heading("Records"), form, none, *cards, more])


def _search_form(dataset: Dataset, config: ShowConfig) -> Html:
    names = ("", *(split.name for split in dataset.splits))
    splits = "".join(
        f'<option value="{escape(name)}"{" selected" * (name == config.split)}>{escape(name or "all splits")}</option>'
        for name in names
    )
    fields = (("find", "with the text"), ("family", "of the kind"), ("id", "whose id begins with"))
    inputs = "".join(
        f'<label>{text} <input type="search" name="{name}" value="{escape(getattr(config, name))}" size="14"></label>'
        for name, text in fields
    )
    checked = " checked" if config.dropped else ""
    box = f'<label><input type="checkbox" name="dropped" value="all"{checked}> dropped ones</label>'
    where = f'<label>in <select name="split">{splits}</select></label>'
    return Html(f'<form method="get" class="choices">{inputs}{where}{box}<button>Search</button></form>')


def _next(dataset: Dataset, config: ShowConfig) -> str:
    ref = Ref.parse(dataset.ref, dataset.kind)
    values = {"find": config.find, "family": config.family, "split": config.split, "dropped": config.dropped}
    kept = "".join(f"&{name}={value}" for name, value in values.items() if value)
    return f"data-{ref.kind}-{ref.name}-{ref.version}.html?skip={config.skip + _SHOWN}{kept}"


def _record(record: Record, reason: str) -> Html:
    question = next((m.text for m in record.messages if m.role == "user"), "") or "(no question)"
    parts: list[object] = [
        join(_turns(record)),
        paragraph(f"{record.id} · license {record.origin.license or 'unknown'}", "soft"),
    ]
    parts.append(paragraph(f"from {record.origin.source} {record.origin.uri} {record.origin.maker}".strip(), "soft"))
    for verdict in record.verdicts:
        word = {True: mark("passed", "good"), False: mark("failed", "bad"), None: mark("not judged", "odd")}[verdict.ok]
        parts.append(join([paragraph(join([word, f" {verdict.stage} {verdict.reason}"])), render_facts(verdict.facts)]))
    why = join([" ", mark(f"dropped: {reason}", "odd")]) if reason else Html("")
    return details(join([record.kind, " · ", question[:110].replace("\n", " "), why]), join(parts))


def _turns(record: Record) -> Iterator[Html]:
    for message in record.messages:
        yield Html(f"<h4>{escape(message.role)}</h4>")
        if message.text:
            yield render_text(message.text)
        for call in message.tool_calls:
            yield render_text(f"```\n{call.name} {msgspec.json.encode(call.arguments).decode()}\n```")
