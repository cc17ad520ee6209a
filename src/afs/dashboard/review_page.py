"""Review: answers of a campaign with what the check said, and the form by which a person accepts, rejects or edits.

A decision is a record of its own and changes no sample. The form needs a token, also on this machine.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from html import escape
from typing import NamedTuple

import msgspec

from afs import jsonl
from afs.dashboard.campaign_facts import ledger
from afs.dashboard.dashboard_state import Views
from afs.dashboard.page_parts import (
    Page,
    PagePart,
    cite,
    code,
    details,
    format_moment,
    heading,
    link,
    mark,
    paragraph,
    table,
)
from afs.dashboard.text_markup import render_difference, render_facts, render_text
from afs.errors import AfsError
from afs.generate.attempts import Attempt, read_attempts
from afs.generate.config import FOLDER
from afs.generate.review import Review, agreement
from afs.pages import Html, join
from afs.types import Task

_SHOWN = 10
_decode_task = msgspec.msgpack.Decoder(Task).decode


class JudgedSample(NamedTuple):
    """A finished sample of a campaign."""

    key: str
    cell: str
    task: Task
    attempt: Attempt
    is_accepted: bool


def review_index(views: Views) -> Page:
    """Campaigns to look at, with how far persons and checks agree."""
    rows = []
    for name in views.campaign_names():
        found = agreement(name, views.workspace.root / FOLDER / name / "reviews.jsonl")
        text = found.text().replace("\n", "; ") if found.reviewed else "nobody has looked yet"
        rows.append((link(f"review-{name}.html", name), found.reviewed, text))
    hint = "look at what the checks accepted and rejected; your decisions are records beside the samples"
    body = table(("campaign", "reviewed", "agreement"), rows) if rows else paragraph("No campaign yet.")
    return Page("review.html", "Review", [PagePart("campaigns", join([paragraph(hint, "hint"), body]))])


def review_page(views: Views, name: str, query: Mapping[str, Sequence[str]], form_key: str = "") -> Page | None:
    """Samples of a campaign; with `form_key`, the key of a session that may write, with forms."""
    if name not in views.campaign_names():
        return None
    which = (query.get("show") or ["both"])[0]
    try:
        samples = _sample(views, name, which, _seed(query))
    except (AfsError, msgspec.DecodeError) as error:
        return Page(f"review-{name}.html", f"Review {name}", [PagePart("broken", paragraph(str(error), "bad"))])
    known = _decisions(views, name)
    cards = [_card(name, one, known.get(one.key), form_key) for one in samples]
    none = paragraph("No finished sample of this kind.")
    parts = [
        PagePart("choice", join([_choice(which, _seed(query)), _writer(name, form_key)]), every_s=-1),
        PagePart("samples", join(cards) if cards else none, every_s=-1),
        PagePart("agreement", _agreement(views, name), every_s=-1),
    ]
    return Page(f"review-{name}.html", f"Review {name}", parts)


def _seed(query: Mapping[str, Sequence[str]]) -> int:
    text = (query.get("seed") or ["0"])[0]
    return int(text) if text.isdigit() and len(text) < 10 else 0


def _sample(views: Views, name: str, which: str, seed: int) -> list[JudgedSample]:
    """Some finished samples, accepted and rejected ones in a mixed order."""
    chance = random.Random(seed)
    states = {"accepted": ["accepted"], "rejected": ["rejected"]}.get(which, ["accepted", "rejected"])
    found = []
    with ledger(views.workspace, name) as database:
        for state in states:
            rows = database.execute(
                "SELECT id FROM pieces WHERE state = ? AND result IS NOT NULL ORDER BY id DESC LIMIT 5000", (state,)
            ).fetchall()
            for (number,) in chance.sample(rows, min(len(rows), _SHOWN // len(states))):
                key, cell, payload, result = database.execute(
                    "SELECT key, cell, payload, result FROM pieces WHERE id = ?", (number,)
                ).fetchone()
                attempts = read_attempts(result)
                if attempts:
                    found.append(JudgedSample(key, cell, _decode_task(payload), attempts[-1], state == "accepted"))
    chance.shuffle(found)
    return found


def _decisions(views: Views, name: str) -> dict[str, Review]:
    path = views.workspace.root / FOLDER / name / "reviews.jsonl"
    if not path.is_file():
        return {}
    return {one.piece: one for one in jsonl.read(path, Review, lambda *_: None)}


def _choice(which: str, seed: int) -> Html:
    options = "".join(
        f'<option value="{value}"{" selected" if value == which else ""}>{text}</option>'
        for value, text in (("both", "accepted and rejected"), ("accepted", "accepted"), ("rejected", "rejected"))
    )
    return Html(
        f'<form method="get" class="choices"><label>Show <select name="show">{options}</select></label>'
        f'<label>sample <input type="text" inputmode="numeric" name="seed" size="4" value="{seed + 1}"></label>'
        "<button>Show others</button></form>"
    )


def _writer(name: str, form_key: str) -> Html:
    if form_key:
        return Html("")
    text = join([link(f"login?to=review-{name}.html", "Log in with a token"), " to decide; without one you can look."])
    return paragraph(text, "hint")


def _card(campaign: str, one: JudgedSample, decided: Review | None, form_key: str) -> Html:
    verdict = one.attempt.verdict
    said = mark("accepted by the check", "good") if one.is_accepted else mark("rejected by the check", "bad")
    stage = f" at {verdict.stage}: {verdict.reason}" if verdict and (verdict.stage or verdict.reason) else ""
    facts = render_facts(verdict.facts) if verdict and verdict.facts else Html("")
    reference = Html("")
    if one.task.reference:
        reference = details("beside the reference", render_difference(one.task.reference, one.attempt.text))
    maker = paragraph(f"{one.task.family} · made by {one.attempt.maker} · {one.key}", "soft")
    parts = [
        Html('<article class="card sample">'),
        maker,
        Html('<div class="columns"><div><h3>Task</h3>'),
        render_text(one.task.prompt),
        Html("</div><div><h3>Answer</h3>"),
        render_text(one.attempt.text),
        Html("</div></div>"),
        details("what the check said", join([said, stage, facts])),
        reference,
        _decided(campaign, decided),
        _form(campaign, one, form_key) if form_key else Html(""),
        Html("</article>"),
    ]
    return join(parts)


def _decided(campaign: str, decided: Review | None) -> Html:
    if decided is None:
        return Html("")
    by = f" by {decided.by}" if decided.by else ""
    record = cite(f"{decided.decision}{by}, {format_moment(decided.at)}", f"campaigns/{campaign}/reviews.jsonl")
    edited = code(decided.edited) if decided.edited else Html("")
    return join([paragraph(join(["Decided: ", record, f" {decided.reason}"])), edited])


def _form(campaign: str, one: JudgedSample, form_key: str) -> Html:
    number = escape(one.key)
    return Html(
        f'<form method="post" action="review/{escape(campaign)}" class="decide">'
        f'<input type="hidden" name="key" value="{escape(form_key)}">'
        f'<input type="hidden" name="piece" value="{number}">'
        f'<p><label>Reason <input type="text" name="reason" size="40" maxlength="2000" autocomplete="off"></label></p>'
        f"<details><summary>edit the answer</summary><label>The answer as it should be"
        f'<textarea name="edited" rows="8">{escape(one.attempt.text)}</textarea></label>'
        '<button name="decision" value="edit">Save the edit</button></details>'
        '<p><button name="decision" value="accept">Accept</button> '
        '<button name="decision" value="reject">Reject</button></p></form>'
    )


def _agreement(views: Views, name: str) -> Html:
    found = agreement(name, views.workspace.root / FOLDER / name / "reviews.jsonl")
    if not found.reviewed:
        return Html("")
    record = cite(found.text(), f"campaigns/{name}/reviews.jsonl")
    return join([heading("Persons and checks", "the latest decision on each sample counts"), paragraph(record)])
