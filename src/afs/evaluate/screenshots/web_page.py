"""A web page as a picture, by the distribution's own Chromium: fixed size, no animation, and every request noted."""

from __future__ import annotations

import shutil
from pathlib import Path

from playwright.sync_api import Error, Request, sync_playwright

from afs.errors import MissingError, ProcessError
from afs.types import Value

BROWSERS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")


class Shot(Value, frozen=True, kw_only=True):
    """A picture of a page, and what the page did meanwhile."""

    png: bytes
    text: str
    """What can be read on it."""
    outside: tuple[str, ...]
    """Requests to anywhere but the page's own address."""
    problems: tuple[str, ...]
    """Errors of the page's scripts."""


def browser() -> str:
    """The program, or an error with the command that gets it."""
    for name in BROWSERS:
        if path := shutil.which(name):
            return path
    raise MissingError("pictures of web pages need Chromium: apt-get install chromium")


def shoot(address: str, *, width: int = 1280, height: int = 800, timeout_s: float = 20.0) -> Shot:
    """Open a page (an address or a file) and look at it."""
    place = address if "://" in address else Path(address).resolve().as_uri()
    own = place if place.startswith("file:") else "/".join(place.split("/")[:3])
    requests: list[str] = []
    problems: list[str] = []

    def note(request: Request) -> None:
        url = str(request.url)
        if not url.startswith(("data:", "blob:", own)):
            requests.append(url)

    path = browser()
    try:
        with sync_playwright() as play, play.chromium.launch(executable_path=path, args=["--no-sandbox"]) as chromium:
            page = chromium.new_page(viewport={"width": width, "height": height}, color_scheme="light")
            page.on("request", note)
            page.on("pageerror", lambda error: problems.append(str(error)))
            page.goto(place, timeout=timeout_s * 1000)
            png = page.screenshot(animations="disabled", full_page=True, timeout=timeout_s * 1000)
            text = str(page.inner_text("body"))
    except Error as error:
        raise ProcessError(f"{address}: {str(error).splitlines()[0]}") from error
    return Shot(png=png, text=text, outside=tuple(requests), problems=tuple(problems))
