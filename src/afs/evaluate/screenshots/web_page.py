"""Screenshots of web pages by the installed Chromium: fixed size, no animation, every request logged.

Chromium runs with its own sandbox. It has none when root starts it: then it opens files and pages of this machine only,
never a page from the network.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import Error, Request, sync_playwright

from afs.errors import MissingError, ProcessError
from afs.types import Value

BROWSERS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")


class Shot(Value, frozen=True, kw_only=True):
    """A screenshot of a page, with its requests and errors."""

    png: bytes
    text: str
    """The visible text."""
    outside: tuple[str, ...]
    """Requests to anywhere but the page's own address."""
    problems: tuple[str, ...]
    """Errors of the page's scripts."""


def find_browser() -> str:
    """The path of Chromium, or an error with the command that installs it."""
    for name in BROWSERS:
        if path := shutil.which(name):
            return path
    raise MissingError("screenshots of web pages need Chromium: apt-get install chromium")


def has_sandbox() -> bool:
    """Whether Chromium can be started with its own sandbox by this user."""
    return os.geteuid() != 0


def refuse_unprotected(address: str) -> None:
    """Raise for a page from the network that would run without a sandbox."""
    parts = urlsplit(address)
    if has_sandbox() or parts.scheme == "file" or parts.hostname in ("localhost", "127.0.0.1", "::1"):
        return
    raise ProcessError(
        f"{address}: Chromium has no sandbox when root starts it, so pages from the network are not opened; "
        "run this as another user"
    )


def take_screenshot(address: str, *, width: int = 1280, height: int = 800, timeout_s: float = 20.0) -> Shot:
    """Open a page (URL or file) and take a screenshot."""
    place = address if "://" in address else Path(address).resolve().as_uri()
    refuse_unprotected(place)
    own = place if place.startswith("file:") else "/".join(place.split("/")[:3])
    requests: list[str] = []
    problems: list[str] = []

    def note(request: Request) -> None:
        url = str(request.url)
        if not url.startswith(("data:", "blob:", own)):
            requests.append(url)

    path = find_browser()
    try:
        with (
            sync_playwright() as play,
            play.chromium.launch(executable_path=path, chromium_sandbox=has_sandbox()) as chromium,
        ):
            page = chromium.new_page(viewport={"width": width, "height": height}, color_scheme="light")
            page.on("request", note)
            page.on("pageerror", lambda error: problems.append(str(error)))
            page.goto(place, timeout=timeout_s * 1000)
            png = page.screenshot(animations="disabled", full_page=True, timeout=timeout_s * 1000)
            text = str(page.inner_text("body"))
    except Error as error:
        raise ProcessError(f"{address}: {str(error).splitlines()[0]}") from error
    return Shot(png=png, text=text, outside=tuple(requests), problems=tuple(problems))
