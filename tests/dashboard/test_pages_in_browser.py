"""Every page in headless Chromium: dark and light, on a phone, without JavaScript, live, two tabs, nothing from elsewhere."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.dashboard.conftest import TOKEN, TRAIN, Site, serving, wait_for
from tests.dashboard.test_run_index import make_run, step
from tests.skip_report import TEST_PARTS

from afs.dashboard.export_command import CopyConfig, export_pages
from afs.dashboard.pages_by_name import list_pages
from afs.evaluate.screenshots.web_page import BROWSERS
from afs.workspace import Workspace

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
AXE = TEST_PARTS / "axe.min.js"
BROWSER = next((path for name in BROWSERS if (path := shutil.which(name))), None)
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine")


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with playwright.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield browser
        browser.close()


@contextmanager
def tab(chromium: Any, own: str, **settings: Any) -> Iterator[Any]:
    """A tab that fails on any error of a script, of the console, or request to anywhere else."""
    context = chromium.new_context(**{"viewport": {"width": 1280, "height": 800}, **settings})
    page = context.new_page()
    bad: list[str] = []
    page.on("console", lambda message: bad.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: bad.append(str(error)))
    page.on("request", lambda request: None if request.url.startswith((own, "data:")) else bad.append(request.url))
    page.set_default_timeout(120_000)
    try:
        yield page
    finally:
        context.close()
    assert bad == []


def names(site: Site) -> list[str]:
    """One page of each kind."""
    site.views.look()
    found: dict[str, str] = {}
    for name in list_pages(site.views):
        kind, dash, _ = name.partition("-")
        found.setdefault(kind + dash, name)
    trained = next(run for run in site.views.index.runs if run.track.samples)
    return [*found.values(), f"run-{trained.id}.html"]


def test_every_page_on_a_desk_and_on_a_phone_in_light_and_dark(site: Site, chromium: Any) -> None:
    every = names(site)
    assert len(every) >= 11
    for width, scheme in ((1280, "light"), (360, "dark")):
        with tab(chromium, site.url, viewport={"width": width, "height": 800}, color_scheme=scheme) as page:
            for name in every:
                page.goto(f"{site.url}/{name}")
                page.wait_for_selector("#live.on")
                assert page.evaluate("document.documentElement.scrollWidth") <= width, (name, width)
                assert page.evaluate("document.querySelectorAll('.u-wrap').length") == page.evaluate(
                    "document.querySelectorAll('figure.chart[data-chart]').length"
                ), name


def test_without_javascript_everything_can_be_read(site: Site, chromium: Any) -> None:
    with tab(chromium, site.url, java_script_enabled=False) as page:
        for name in names(site):
            page.goto(f"{site.url}/{name}")
            assert page.locator("main h1").inner_text() and page.locator("section").count() >= 1
        assert page.locator("figure.chart svg").first.is_visible()
        assert page.locator("#live").inner_text().startswith("not live")


def test_a_live_run_is_followed_stalls_and_dies_in_two_tabs(real: Workspace, chromium: Any) -> None:
    words = [sys.executable, "-m", "afs", "train", *TRAIN, "--name", "endless", "--epochs", "2000", "--quiet"]
    environment = {**os.environ, "AFS_WORKSPACE": str(real.root), "OMP_NUM_THREADS": "1"}
    child = subprocess.Popen(words, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        with serving(real) as site:

            def live() -> bool:
                site.views.index.refresh()
                runs = site.views.index.runs
                return bool(runs) and runs[0].track.step > 20 and child.poll() is None

            wait_for(live, "the run began")
            run = site.views.index.runs[0].id
            with tab(chromium, site.url) as home, tab(chromium, site.url) as one:
                home.goto(f"{site.url}/")
                one.goto(f"{site.url}/run-{run}.html")
                home.wait_for_selector("#part-running .badge.running")
                one.wait_for_selector(".u-wrap")
                before = int(one.locator("main").get_attribute("data-step"))
                one.wait_for_function(
                    "before => Number(document.querySelector('main').dataset.step) > before", arg=before
                )
                child.send_signal(signal.SIGSTOP)
                one.wait_for_selector("#part-state .badge.stalled")
                home.wait_for_selector("#part-alerts .badge.bad")
                child.kill()
                child.wait()
                one.wait_for_selector("#part-state .badge.gone", timeout=120_000)
    finally:
        child.kill()
        child.wait()


def test_zoom_asks_for_finer_points_and_back(real: Workspace, chromium: Any) -> None:
    make_run(real, "20990101-000000-train-aaaaaa", b"".join(step(n, 1 + n % 7, 9000) for n in range(1, 9001)), "done")
    with serving(real) as site:
        site.views.look()
        site.views.index.read_whole()
        with tab(chromium, site.url) as page:
            page.goto(f"{site.url}/run-20990101-000000-train-aaaaaa.html")
            plot = page.locator('#part-charts figure[data-chart="loss"] .u-over')
            plot.scroll_into_view_if_needed()
            box = plot.bounding_box()
            with page.expect_response(lambda answer: "/data/" in answer.url) as finer:
                page.mouse.move(box["x"] + 200, box["y"] + 40)
                page.mouse.down()
                page.mouse.move(box["x"] + 300, box["y"] + 40, steps=5)
                page.mouse.up()
            chart = finer.value.json()["charts"][0]
            assert 500 < len(chart["steps"]) < 4001 and "first=" in finer.value.url
            with page.expect_response(lambda answer: "/data/" in answer.url) as whole:
                plot.dblclick()
            assert whole.value.json()["charts"][0]["steps"][-1] == 9000
            page.wait_for_function("document.querySelector('figure[data-chart=loss]').chartData.steps.at(-1) === 9000")


def test_a_decision_by_hand(site: Site, chromium: Any) -> None:
    with tab(chromium, site.url) as page:
        page.goto(f"{site.url}/review-echoed.html?show=rejected")
        page.click("text=Log in with a token")
        page.fill("input[name=token]", TOKEN)
        page.click("button:has-text('Log in')")
        page.goto(f"{site.url}/review-echoed.html?show=rejected")
        page.locator("input[name=reason]").first.fill("it repeats the question")
        page.locator("button[value=reject]").first.click()
        page.wait_for_selector("text=Persons and checks")
    assert b"it repeats the question" in (site.views.workspace.root / "campaigns/echoed/reviews.jsonl").read_bytes()


def test_the_copy_opens_from_disk(real: Workspace, chromium: Any, tmp_path: Path) -> None:
    export_pages(CopyConfig(folder=tmp_path / "copy"), real)
    place = (tmp_path / "copy").as_uri()
    with tab(chromium, place) as page:
        page.goto(f"{place}/index.html")
        assert page.locator(".u-wrap").count() >= 1
        page.locator("#part-recent a").first.click()
        assert page.locator("main h1").inner_text()


@pytest.mark.skipif(not AXE.is_file(), reason="no axe-core here")
def test_nothing_serious_for_accessibility(site: Site, chromium: Any) -> None:
    script = AXE.read_text()
    found = []
    for scheme, width in (("light", 1280), ("dark", 360)):
        settings = {"color_scheme": scheme, "viewport": {"width": width, "height": 800}, "bypass_csp": True}
        with tab(chromium, site.url, **settings) as page:
            for name in names(site):
                page.goto(f"{site.url}/{name}")
                page.wait_for_selector("#live.on")
                page.evaluate(script)
                for one in page.evaluate("axe.run()")["violations"]:
                    if one["impact"] in ("serious", "critical"):
                        found.append((name, scheme, one["id"], [node["html"][:120] for node in one["nodes"][:3]]))
    assert found == []
