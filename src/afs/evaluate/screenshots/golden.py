"""`afs eval screenshot` and `afs eval accept`: compare with golden images, and replace them with a reason.

Golden images are in the workspace's folder `golden/`; a differing image is kept there until it is accepted.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import ClassVar, Literal

import msgspec

from afs import jsonl
from afs.config import Config
from afs.errors import DataError, UsageError
from afs.evaluate.screenshots import png_files, side_by_side, terminal
from afs.evaluate.screenshots.image_diff import Box, Difference, Frame, Pixels, compare
from afs.evaluate.screenshots.terminal import TerminalScreen
from afs.plugins import load, suggest_name
from afs.types import Value, digest
from afs.workspace import Workspace

WEB = "afs.evaluate.screenshots.web_page:take_screenshot"


class ScreenshotsConfig(Config, frozen=True, kw_only=True):
    """Compare a screenshot with the golden image of that name."""

    positional: ClassVar[tuple[str, ...]] = ("name", "source")
    name: str
    """Name of the golden image."""
    source: tuple[str, ...]
    """An image file (an emulator's frame), a page's file or URL, or a command with its arguments."""
    kind: Literal["frame", "page", "terminal"] = "frame"
    """Kind of the source."""
    tolerance: int = -1
    """Largest difference of a color channel; -1: none for frames, 8 for pages."""
    mask: tuple[str, ...] = ()
    """Boxes `left/top/width/height`, or patterns of terminal text, to ignore."""
    memory: Path | None = None
    """JSON of memory hashes (`vram`, `oam`, `cgram`, `wram`) that must be equal as well."""
    columns: int = 80
    """Width of the terminal."""
    rows: int = 24
    """Height of the terminal."""


class ScreenshotCheck(Value, frozen=True, kw_only=True):
    """Result of a comparison; exit code 3 when it differs."""

    name: str
    equal: bool
    outcome: str
    page: str = ""
    """The side-by-side page."""
    new: bool = False
    """No golden image exists yet."""

    @property
    def exit_code(self) -> int:
        """3 when it differs."""
        return 0 if self.equal else 3

    def text(self) -> str:
        """The difference, and how to accept it."""
        if self.equal:
            return f"{self.name}: {self.outcome}"
        how = f"accept it with: afs eval accept {self.name} --reason '…'"
        return f"{self.name}: {self.outcome}\n" + (f"look at it: {self.page}\n" if self.page else "") + how


class AcceptConfig(Config, frozen=True, kw_only=True):
    """Accept the last differing screenshot as the golden image."""

    positional: ClassVar[tuple[str, ...]] = ("name",)
    name: str
    """Name of the golden image."""
    reason: str
    """Why it changed; stored with the image's hash."""


class AcceptedScreenshot(Value, frozen=True, kw_only=True):
    """A line of `golden/accepted.jsonl`."""

    name: str
    reason: str
    digest: str
    before: str
    time: float


def eval_screenshot(config: ScreenshotsConfig, workspace: Workspace) -> ScreenshotCheck:
    """Compare, and keep a differing screenshot until it is accepted."""
    if not config.name.replace("-", "").replace("_", "").isalnum():
        raise UsageError(f"want a name of letters, digits and dashes, got {config.name!r}")
    folder = workspace.root / "golden"
    if config.kind == "terminal":
        return _terminal(config, folder)
    return _picture(config, folder)


def _picture(config: ScreenshotsConfig, folder: Path) -> ScreenshotCheck:
    if len(config.source) != 1:
        raise UsageError(f"want one {config.kind}, got {len(config.source)} words")
    frame = Frame(_pixels(config), _memory(config.memory))
    golden = folder / f"{config.name}.png"
    waiting = folder / "waiting" / f"{config.name}.png"
    hashes = golden.with_suffix(".memory.json")
    if golden.exists():
        before = Frame(png_files.read_png(golden), _memory(hashes if hashes.exists() else None))
        tolerance = config.tolerance if config.tolerance >= 0 else {"page": 8}.get(config.kind, 0)
        found = compare(frame, before, tolerance=tolerance, masks=[_box(text) for text in config.mask])
        if found.equal:
            return ScreenshotCheck(name=config.name, equal=True, outcome=found.text())
        shown = _show(config.name, frame, before, found, waiting)
    else:
        found, shown = None, ""
    jsonl.replace(waiting, png_files.write_png(frame.pixels))
    if frame.memory:
        jsonl.replace(waiting.with_suffix(".memory.json"), msgspec.json.encode(frame.memory))
    outcome = found.text() if found else "no golden image yet"
    return ScreenshotCheck(name=config.name, equal=False, outcome=outcome, page=shown, new=found is None)


def _pixels(config: ScreenshotsConfig) -> Pixels:
    if config.kind == "frame":
        return png_files.read_png(Path(config.source[0]))
    shot = load(WEB)(config.source[0])  # type: ignore[operator]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "page.png"
        path.write_bytes(shot.png)
        return png_files.read_png(path)


def _show(name: str, frame: Frame, before: Frame, found: Difference, waiting: Path) -> str:
    page = waiting.with_suffix(".html")
    jsonl.replace(page, side_by_side.side_by_side_page(name, frame.pixels, before.pixels, found))
    return str(page)


def _memory(path: Path | None) -> dict[str, str]:
    if path is None:
        return {}
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, str])
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: want a table of hashes ({error})") from error


def _box(text: str) -> Box:
    try:
        left, top, width, height = (int(part) for part in text.split("/"))
    except ValueError as error:
        raise UsageError(f"want a mask such as 0/0/64/8 (left/top/width/height), got {text!r}") from error
    return Box(left=left, top=top, width=width, height=height)


def _terminal(config: ScreenshotsConfig, folder: Path) -> ScreenshotCheck:
    content = terminal.record_terminal(config.source, columns=config.columns, rows=config.rows)
    screen = terminal.screen_of(content, config.columns, config.rows)
    golden, waiting = folder / f"{config.name}.json", folder / "waiting" / f"{config.name}.json"
    outcome, new = "no golden screen yet", True
    if golden.exists():
        found = terminal.compare(screen, msgspec.json.decode(golden.read_bytes(), type=TerminalScreen), config.mask)
        if found.equal:
            return ScreenshotCheck(name=config.name, equal=True, outcome=found.text())
        outcome, new = found.text(), False
    jsonl.replace(waiting, msgspec.json.format(msgspec.json.encode(screen)))
    return ScreenshotCheck(name=config.name, equal=False, outcome=outcome, new=new)


def eval_accept(config: AcceptConfig, workspace: Workspace) -> AcceptedScreenshot:
    """Replace the golden image by the pending one, with the reason."""
    if not config.reason.strip():
        raise UsageError("--reason: state why the image changed")
    folder = workspace.root / "golden"
    waiting = [p for p in (folder / "waiting").glob(f"{config.name}.*") if p.suffix != ".html"]
    if not waiting:
        known = {path.name.partition(".")[0] for path in (folder / "waiting").glob("*")}
        raise UsageError(f"nothing is pending under the name {config.name!r}{suggest_name(config.name, known)}")
    before = [path.read_bytes().hex() for path in sorted(folder.glob(f"{config.name}.*"))]
    after = [path.read_bytes().hex() for path in sorted(waiting)]
    for path in waiting:
        path.replace(folder / path.name)
    (folder / "waiting" / f"{config.name}.html").unlink(missing_ok=True)
    line = AcceptedScreenshot(
        name=config.name,
        reason=config.reason,
        digest=digest(after),
        before=digest(before) if before else "",
        time=round(time.time(), 3),
    )
    jsonl.append(folder / "accepted.jsonl", [line])
    return line
