"""Renders the dashboard's pages of a workspace by Chromium into small PNGs, for the docs or to look at.

python scripts/screenshots.py WORKSPACE docs/images index run    pages by name; none named: one of each
python scripts/screenshots.py WORKSPACE /tmp/look --all        also 360 px wide, and both dark
"""

from __future__ import annotations

import argparse
import io
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import sync_playwright

from afs.evaluate.screenshots.web_page import find_browser, has_sandbox

WIDTHS = {"wide": 1280, "phone": 360}
HEIGHT = 900
COLORS = 64


@contextmanager
def copied(workspace: Path) -> Iterator[Path]:
    """A static copy of the pages: nothing serves, nothing changes while they are drawn."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "copy"
        words = [sys.executable, "-m", "afs", "dashboard", "export", str(copy), "--workspace", str(workspace)]
        subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
        yield copy


def choose(copy: Path, names: list[str]) -> dict[str, Path]:
    """Name -> page: the newest of each kind, or those named."""
    found: dict[str, Path] = {}
    for page in sorted(copy.glob("*.html")):
        kind = page.stem.partition("-")[0]
        is_training = re.search(r"\d-train-", page.stem) is not None
        if kind not in found or (kind == "run" and is_training):
            found[kind] = page
    return {name: page for name, page in found.items() if not names or name in names}


def save(png: bytes, path: Path) -> None:
    """With few colors: pages are text and lines."""
    with Image.open(io.BytesIO(png)) as image:
        image.convert("RGB").quantize(COLORS, dither=Image.Dither.NONE).save(path, optimize=True)


def draw(chromium: Any, page: Path, path: Path, width: int, scheme: str, *, whole: bool) -> None:
    """One picture."""
    viewport = {"width": width, "height": HEIGHT}
    tab = chromium.new_page(viewport=viewport, color_scheme=scheme, reduced_motion="reduce")
    tab.goto(page.resolve().as_uri())
    tab.wait_for_timeout(300)
    wide = tab.evaluate("document.documentElement.scrollWidth")
    if wide > width:
        print(f"{page.name}: {wide} px wide at {width}", file=sys.stderr)
    save(tab.screenshot(animations="disabled", full_page=whole), path)
    tab.close()


def main() -> None:
    """Draw them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workspace", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("pages", nargs="*")
    parser.add_argument("--all", action="store_true", help="each page wide and narrow, light and dark, to its end")
    chosen = parser.parse_args()
    chosen.out.mkdir(parents=True, exist_ok=True)
    with copied(chosen.workspace) as copy, sync_playwright() as play:
        chromium = play.chromium.launch(executable_path=find_browser(), chromium_sandbox=has_sandbox())
        for name, page in choose(copy, chosen.pages).items():
            for look, width in WIDTHS.items() if chosen.all else [("", WIDTHS["wide"])]:
                for scheme in ("light", "dark") if chosen.all else ("light",):
                    file = f"{name}-{look}-{scheme}.png" if chosen.all else f"{name}.png"
                    draw(chromium, page, chosen.out / file, width, scheme, whole=chosen.all)
        chromium.close()


if __name__ == "__main__":
    main()
