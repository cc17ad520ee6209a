"""The pages on a real socket: who may ask, what is served, what is escaped, live news, and the one page that writes."""

from __future__ import annotations

import json
import re
import sqlite3
from pathlib import Path
from urllib.parse import quote, urlencode

import msgspec
import pytest
from tests.dashboard.conftest import TOKEN, Site, serving
from tests.dashboard.test_run_index import make_run, step

from afs.dashboard.pages_by_name import list_pages
from afs.generate.review import Review
from afs.workspace import Workspace

EVIL = "<script>alert(1)</script><img src=x onerror=alert(2)>"


def test_every_page_is_served_with_its_policy(site: Site) -> None:
    site.views.look()
    names = list(list_pages(site.views))
    assert len(names) > 15
    for name in ("", *names):
        answer = site.ask(f"/{name}")
        assert answer.status == 200, name
        assert "unsafe" not in answer.headers["content-security-policy"]
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert not re.search(r'(src|href)="(https?:)?//', answer.text), name
    assert site.ask("/nothing.html").status == 404 and site.ask("/run-nothing.html").status == 404
    assert site.ask("/latest").headers["location"].startswith("run-")


def test_home_says_what_runs_what_it_costs_and_what_is_wrong(site: Site) -> None:
    text = site.ask("/").text
    for words in ("needs attention", "spent so far", "disk free", "Latest training", "Campaigns", "Last results"):
        assert words in text, words


def test_a_run_shows_its_own_config_by_digest_money_and_checkpoints(site: Site) -> None:
    site.ask("/")
    names = [one for one in site.views.index.runs if one.state and one.state.verb == "train"]
    run = next(one for one in names if one.track.samples)
    text = site.ask(f"/run-{run.id}.html").text
    for words in ("as the run began", "verified", "best", "Probe tasks solved", "Answers over time", "$"):
        assert words in text, words
    config = site.views.workspace.root / "runs" / run.id / "config.json"
    config.write_text(config.read_text().replace('"toy"', '"joy"', 1))
    site.views.index.refresh()
    assert "changed since the run began" in site.ask(f"/run-{run.id}.html?with=x").text


def test_a_run_of_any_verb_is_held_against_the_config_it_began_with(site: Site) -> None:
    site.ask("/")
    runs = [one for one in site.views.index.runs if one.state and one.state.verb != "train"]
    assert runs
    for one in runs:
        assert "as the run began" in site.ask(f"/run-{one.id}.html").text, one.id


def test_every_cited_record_can_be_had(site: Site) -> None:
    site.views.look()
    cited: set[str] = set()
    for name in list_pages(site.views):
        cited |= set(re.findall(r'href="(files/[^"]+)"', site.ask(f"/{name}").text))
    assert len(cited) > 30
    for path in cited:
        assert site.ask("/" + path.replace("&amp;", "&")).status == 200, path


def test_a_line_is_served_by_its_place(site: Site) -> None:
    site.views.look()
    run = next(one for one in site.views.index.runs if one.track.evaluations)
    noted = run.track.evaluations[0]
    answer = site.ask(f"/files/runs/{run.id}/events.jsonl?at={noted.offset}")
    assert json.loads(answer.text) == dict(noted.fields)


@pytest.mark.parametrize(
    "path",
    [
        "../afs.toml",
        "afs.toml",
        "tokens.json",
        "providers.toml",
        "runs/../tokens.json",
        "runs/x/../../tokens.json",
        "%2e%2e/tokens.json",
        "runs/%2e%2e%2ftokens.json/status.json",
        "cache/x",
        "/etc/passwd",
        "runs/linked/status.json",
        "runs/real/record.json",
        "campaigns/echoed/calls.db-wal",
    ],
)
def test_nothing_else_is_served(site: Site, path: str, tmp_path: Path) -> None:
    root = site.views.workspace.root
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "status.json").write_text('{"secret": 1}')
    (root / "tokens.json").write_text('{"secret": 1}')
    (root / "runs" / "linked").symlink_to(outside)
    (root / "runs" / "real").mkdir()
    (root / "runs" / "real" / "record.json").symlink_to(outside / "status.json")
    answer = site.ask(f"/files/{path}")
    assert answer.status == 404 and "secret" not in answer.text


def test_text_of_a_model_is_never_markup(real: Workspace) -> None:
    """In a probe's answer, a guard's reason, a notice, a run's problem, a config, a task, an attempt."""
    events = [
        {"event": "train.probe", "stage": EVIL, "reason": EVIL, "answer": EVIL},
        {"event": "train.guard", "action": EVIL, "rule": EVIL, "reason": EVIL, "step": 1},
        {"event": "notice", "text": EVIL},
        {"event": "train.begin", "steps": 3, "machine": EVIL},
    ]
    log = b"".join(json.dumps(row).encode() + b"\n" for row in events)
    folder = make_run(real, "20990101-000000-train-eeeeee", step(1) + log, "failed")
    (folder / "config.json").write_text(json.dumps({"name": EVIL}))
    state = json.loads((folder / "status.json").read_text()) | {"problem": EVIL, "result": EVIL}
    (folder / "status.json").write_text(json.dumps(state))
    with serving(real) as site:
        site.ask("/")
        for name in ("index.html", "runs.html", "run-20990101-000000-train-eeeeee.html"):
            text = site.ask(f"/{name}").text
            assert "alert(1)" in text and "<script>alert" not in text and "<img" not in text, name


def test_foreign_hosts_and_origins_are_refused(site: Site) -> None:
    assert site.ask("/", host="evil.example").status == 403
    assert site.ask("/", host=f"localhost:{site.port}").status == 200
    assert site.ask("/", origin="https://evil.example").status == 403
    assert site.ask("/live?page=index.html", origin="https://evil.example").status == 403


def test_beyond_this_machine_a_token_is_needed_and_never_in_the_address(real: Workspace) -> None:
    with serving(real, host="192.0.2.7", token=TOKEN) as site:
        for path in (
            "/",
            "/index.html",
            "/live?page=index.html",
            "/data/run-x.json",
            "/files/registry.toml",
            "/latest",
        ):
            assert site.ask(path).status == 401, path
            assert site.ask(f"{path}{'&' if '?' in path else '?'}token={TOKEN}").status == 401
        assert site.ask("/", authorization=f"Bearer {TOKEN}").status == 200
        assert site.ask("/", authorization="Bearer wrong").status == 401
        assert site.ask("/", accept="text/html").headers["location"] == "/login"
        assert site.ask("/static/dashboard.js").status == 200
        assert site.ask("/login", "POST", "token=wrong").status == 401
        answer = site.ask("/login?to=runs.html", "POST", urlencode({"token": TOKEN}))
        cookie = answer.headers["set-cookie"]
        assert answer.status == 303 and "HttpOnly" in cookie and "SameSite=strict" in cookie and TOKEN not in cookie
        assert site.ask("/", cookie=cookie.partition(";")[0]).status == 200
        assert site.ask("/", cookie="afs-80=guess").status == 401
        assert (
            site.ask("/login?to=//evil.example", "POST", urlencode({"token": TOKEN})).headers["location"]
            == "index.html"
        )


def log_in(site: Site) -> tuple[str, str]:
    answer = site.ask("/login", "POST", urlencode({"token": TOKEN}))
    cookie = answer.headers["set-cookie"].partition(";")[0]
    found = re.search(r'name="key" value="(\w+)"', site.ask("/review-echoed.html", cookie=cookie).text)
    assert found is not None
    return cookie, found[1]


def piece_of(site: Site) -> str:
    database = sqlite3.connect(site.views.workspace.root / "campaigns" / "echoed" / "calls.db")
    try:
        return str(database.execute("SELECT key FROM pieces WHERE state = 'rejected'").fetchone()[0])
    finally:
        database.close()


def test_a_decision_is_appended_and_changes_nothing_else(site: Site) -> None:
    root = site.views.workspace.root
    before = {p: p.read_bytes() for p in root.glob("campaigns/echoed/*.db")}
    assert 'name="decision"' not in site.ask("/review-echoed.html").text, "no form without a token"
    cookie, key = log_in(site)
    form = {"key": key, "piece": piece_of(site), "decision": "reject", "reason": EVIL}
    origin = site.url
    assert site.ask("/review/echoed", "POST", urlencode(form), cookie=cookie, origin=origin).status == 303
    (row,) = (root / "campaigns" / "echoed" / "reviews.jsonl").read_bytes().splitlines()
    review = msgspec.json.decode(row, type=Review)
    assert (review.decision, review.reason, review.verdict, review.by) == ("reject", EVIL, False, "tester")
    assert before == {p: p.read_bytes() for p in root.glob("campaigns/echoed/*.db")}
    text = site.ask("/review-echoed.html?show=rejected", cookie=cookie).text
    assert "<script>alert" not in text
    assert "agree on 100%" in site.ask("/review.html").text


def test_a_decision_needs_a_token_its_own_page_and_the_forms_key(site: Site) -> None:
    cookie, key = log_in(site)
    good = {"key": key, "piece": piece_of(site), "decision": "accept"}

    def post(change: dict[str, str], **headers: str) -> int:
        return site.ask("/review/echoed", "POST", urlencode(good | change), **headers).status

    assert post({}) == 401
    assert post({"key": "x"}, cookie=cookie) == 403
    assert post({}, cookie=cookie, origin="http://127.0.0.1:9") == 403
    assert post({}, cookie=cookie, sec_fetch_site="same-site") == 403
    assert post({"decision": "maybe"}, cookie=cookie) == 400
    assert post({"decision": "reject"}, cookie=cookie) == 400, "a rejection says why"
    assert post({"piece": "nobody"}, cookie=cookie) == 400
    assert site.ask("/review/none", "POST", urlencode(good), cookie=cookie).status == 400
    assert site.ask("/review/" + quote("../x", safe=""), "POST", urlencode(good), cookie=cookie).status in (400, 404)
    assert not (site.views.workspace.root / "campaigns/echoed/reviews.jsonl").exists()
    assert post({"key": ""}, authorization=f"Bearer {TOKEN}") == 303, "a program sends its token, and needs no form"
    assert post({"decision": "edit", "reason": "r", "edited": "42"}, cookie=cookie, origin=site.url) == 303
    assert site.ask("/logout", "POST", urlencode({"key": key}), cookie=cookie).status == 303
    assert post({}, cookie=cookie) == 401


def read_events(site: Site, path: str, wanted: int, **headers: str) -> list[dict[str, str]]:
    """The first events of a stream that say something."""
    connection = site.connect()
    connection.request("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})
    answer = connection.getresponse()
    assert answer.status == 200 and answer.getheader("content-type", "").startswith("text/event-stream")
    found: list[dict[str, str]] = []
    event: dict[str, str] = {}
    while len(found) < wanted:
        line = answer.readline().decode().rstrip("\n")
        if line:
            name, _, value = line.partition(": ")
            event[name] = value
        else:
            if event.get("event") in ("points", "again"):
                found.append(event)
            event = {}
    connection.close()
    return found


def test_new_points_arrive_and_a_reconnect_resumes_after_the_last(real: Workspace) -> None:
    folder = make_run(real, "20990101-000000-train-aaaaaa", b"".join(step(n, n / 10) for n in range(1, 11)))
    with serving(real) as site:
        page = "/live?page=run-20990101-000000-train-aaaaaa.html&step=4"
        (first,) = read_events(site, page, 1)
        assert json.loads(first["data"])["steps"] == [5, 6, 7, 8, 9, 10] and first["id"] == "10.0"
        with (folder / "events.jsonl").open("ab") as log:
            log.write(step(11, 2.0))
        (second,) = read_events(site, page, 1, last_event_id=first["id"])
        assert json.loads(second["data"])["steps"] == [11] and json.loads(second["data"])["loss"] == [2.0]
        with (folder / "events.jsonl").open("ab") as log:
            log.write(step(9, 1.0))
        (third,) = read_events(site, page, 1, last_event_id=second["id"])
        assert third["event"] == "again", "steps were repeated: the page asks for the curve anew"


def test_points_of_a_part_are_finer_and_limited(real: Workspace) -> None:
    make_run(real, "20990101-000000-train-aaaaaa", b"".join(step(n, n / 10, 9000) for n in range(1, 9001)))
    with serving(real) as site:
        site.views.look()
        site.views.index.read_whole()
        whole = json.loads(site.ask("/data/run-20990101-000000-train-aaaaaa.json").text)["charts"][0]
        part = json.loads(site.ask("/data/run-20990101-000000-train-aaaaaa.json?first=100&last=199").text)["charts"][0]
        assert len(whole["steps"]) <= 1200 and part["steps"] == list(range(99, 201))
        every = json.loads(site.ask("/data/run-20990101-000000-train-aaaaaa.json?first=1&last=9000").text)["charts"]
        assert all(len(chart["steps"]) <= 4000 for chart in every)
        assert site.ask("/data/run-nothing.json").status == 404


def test_an_empty_workspace_has_every_page(workspace: Workspace) -> None:
    with serving(workspace) as site:
        for name in list_pages(site.views):
            assert site.ask(f"/{name}").status == 200
        assert "afs quickstart" in site.ask("/").text


def test_a_damaged_campaign_and_broken_runs_leave_the_rest_readable(real: Workspace) -> None:
    (real.root / "campaigns/echoed/calls.db").write_bytes(b"SQLite format 3\0" + b"\xff" * 4000)
    for path in (real.root / "runs").glob("*/status.json"):
        path.write_bytes(b"\0\0\0")
    (real.root / "events/registry.jsonl").write_bytes(b"\xff\n")
    with serving(real) as site:
        text = site.ask("/").text
        assert "cannot be read" in text and "small" in text
        for name in list_pages(site.views):
            assert site.ask(f"/{name}").status in (200, 404), name
