"""The chat page in a real browser, by keyboard alone: question, streamed answer, route, verdict, diff, thumbs."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest
from tests.serve.chat_backend import ChatBackend, Served, running

from afs.council.answer import Council
from afs.council.reply_check import ReplyChecker
from afs.council.reply_log import ReplyLog
from afs.evaluate.screenshots.web_page import BROWSERS
from afs.serve.access import Tokens, hash_token
from afs.serve.gateway import Gateway
from afs.types import Expert
from afs.workspace import Workspace

sync_api = pytest.importorskip("playwright.sync_api")
BROWSER = next((path for name in BROWSERS if (path := shutil.which(name))), None)
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine")
MINE = "Make this faster:\n```asm\nlda #$05\nlda #$01\nsta $10\nrts\n```"
FASTER = "Load it at once:\n\n```asm\nlda #$01\nsta $10\nrts\n```\n"


@pytest.fixture(scope="module")
def checker() -> Iterator[ReplyChecker]:
    found = ReplyChecker()
    yield found
    found.close()


@pytest.fixture
def page() -> Iterator[sync_api.Page]:
    with sync_api.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield browser.new_page()
        browser.close()


def test_a_person_asks_reads_and_rates_by_keyboard(
    workspace: Workspace, checker: ReplyChecker, page: sync_api.Page
) -> None:
    log, asked, broken = ReplyLog(workspace), list[str](), list[str]()
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: broken.append(str(error)))
    page.on("console", lambda line: broken.append(line.text) if line.type == "error" else None)
    backend = ChatBackend(FASTER)
    with running(backend.app()) as url:
        council = Council({"din": (Expert(name="din", model="d"), Served(url))}, None, None, checker)
        with running(Gateway(council, log=log).app()) as gateway:
            page.goto(gateway)
            page.get_by_role("option", name="council/din").wait_for(state="attached")
            page.keyboard.insert_text(MINE)
            page.keyboard.press("Enter")
            answer = page.locator("article.answer")
            answer.get_by_role("group", name="Rate this answer").wait_for(timeout=60_000)

            answer.get_by_role("group", name="Rate this answer").wait_for()
            text = answer.inner_text()
            assert "route: din 100 %" in text and "✔ same effect" in text and "(was " in text
            assert answer.locator("pre").first.inner_text() == "lda #$01\nsta $10\nrts\n"
            answer.locator("summary").focus()
            page.keyboard.press("Enter")
            assert answer.locator("details .gone").all_inner_texts()[0].startswith("- lda #$05")
            page.keyboard.press("Tab")
            assert page.evaluate("document.activeElement.textContent") == "Good answer"
            page.keyboard.press("Enter")
            answer.get_by_text("Thank you.").wait_for()
            assert page.locator("button[aria-pressed=true]").count() == 1
            assert all(one.startswith(gateway) for one in asked), "nothing is loaded from elsewhere"
    assert [rating.thumb for rating in log.ratings().values()] == ["up"] and broken == []


def test_what_a_model_says_is_text_and_a_token_is_asked_for(checker: ReplyChecker, page: sync_api.Page) -> None:
    with running(ChatBackend("<img src=x onerror=document.title='owned'><script>x</script>").app()) as url:
        council = Council({"din": (Expert(name="din", model="d"), Served(url))}, None, None, checker)
        with running(Gateway(council, tokens=Tokens({"me": hash_token("sesame")})).app()) as gateway:
            page.goto(gateway)
            page.keyboard.insert_text("hello")
            page.keyboard.press("Enter")
            page.get_by_text("the token is missing or wrong").wait_for()
            page.get_by_label("Token").fill("sesame")
            page.get_by_label("Token").press("Tab")
            page.get_by_role("option", name="council/din").wait_for(state="attached")
            page.get_by_label("Question").fill("hello")
            page.keyboard.press("Enter")
            page.locator("article.answer").last.get_by_text("<script>x</script>").wait_for()
            assert page.title() == "afs council" and page.locator("article img").count() == 0
