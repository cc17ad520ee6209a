"""Pictures that differ by a tile, a pixel, a shade or a shift; terminals that redraw; pages that phone home."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from afs import jsonl
from afs.errors import DataError, ProcessError, UsageError
from afs.evaluate.screenshots import png_files, side_by_side, terminal
from afs.evaluate.screenshots.golden import (
    AcceptConfig,
    AcceptedScreenshot,
    ScreenshotsConfig,
    eval_accept,
    eval_screenshot,
)
from afs.evaluate.screenshots.image_diff import Box, Frame, Pixels, compare, is_blank
from afs.workspace import Workspace


@pytest.fixture
def scene() -> Pixels:
    rng = np.random.default_rng(5)
    tiles = rng.integers(0, 32, (28, 32, 3)) * 8
    return np.kron(tiles, np.ones((8, 8, 1))).astype(np.uint8)


def test_one_wrong_tile_is_found_where_it_is(scene: Pixels) -> None:
    wrong = scene.copy()
    wrong[40:48, 80:88] ^= 255
    found = compare(Frame(wrong), Frame(scene))
    assert not found.equal and found.pixels == 64 and found.boxes == (Box(left=80, top=40, width=8, height=8),)
    assert found.ssim is not None and found.ssim > 0.995, "likeness would have let it pass"
    assert compare(Frame(wrong), Frame(scene), masks=[Box(left=80, top=40, width=8, height=8)]).equal


def test_small_differences(scene: Pixels) -> None:
    pixel = scene.copy()
    pixel[3, 4, 1] ^= 8
    assert compare(Frame(pixel), Frame(scene)).pixels == 1
    assert compare(Frame(pixel), Frame(scene), tolerance=8).equal
    assert compare(Frame(scene), Frame(scene)).equal
    dimmed = (scene * 14 // 15).astype(np.uint8)
    assert compare(Frame(dimmed), Frame(scene)).share > 0.7


def test_a_shift_is_called_a_shift(scene: Pixels) -> None:
    moved = np.roll(scene, (2, -3), axis=(0, 1))
    found = compare(Frame(moved), Frame(scene))
    assert found.shift == (-3, 2) and found.share_after_shift == 0.0
    assert "moved by (-3, 2)" in found.text()


def test_blank_screens_and_other_sizes(scene: Pixels) -> None:
    black = np.zeros_like(scene)
    assert is_blank(black) and not is_blank(scene)
    assert compare(Frame(black), Frame(scene)).blank == "picture"
    assert compare(Frame(black), Frame(black)).blank == "both", "equal, and both dead"
    other = compare(Frame(scene[:100]), Frame(scene))
    assert not other.equal and "the size is 256×100" in other.text()


def test_memory_that_differs_is_a_difference(scene: Pixels) -> None:
    found = compare(Frame(scene, {"vram": "a", "oam": "b"}), Frame(scene, {"vram": "a", "oam": "c"}))
    assert not found.equal and found.memory == ("oam",) and found.pixels == 0


def test_golden_pictures_change_only_with_a_reason(workspace: Workspace, tmp_path: Path, scene: Pixels) -> None:
    path = tmp_path / "frame.png"
    path.write_bytes(png_files.write_png(scene))
    config = ScreenshotsConfig(name="title", source=(str(path),))
    first = eval_screenshot(config, workspace)
    assert first.new and first.exit_code == 3
    with pytest.raises(UsageError, match="state why"):
        eval_accept(AcceptConfig(name="title", reason=" "), workspace)
    eval_accept(AcceptConfig(name="title", reason="the first one"), workspace)
    assert eval_screenshot(config, workspace).exit_code == 0
    scene[0:8, 0:8] = 0
    path.write_bytes(png_files.write_png(scene))
    found = eval_screenshot(config, workspace)
    assert not found.equal and "64 pixels differ" in found.outcome
    page = Path(found.page).read_text()
    assert "slider" in page and "blink" in page and 'src="data:image/png' in page and "<rect" in page
    accepted = eval_accept(AcceptConfig(name="title", reason="a new corner"), workspace)
    lines = list(jsonl.read(workspace.root / "golden" / "accepted.jsonl", AcceptedScreenshot))
    assert [line.reason for line in lines] == ["the first one", "a new corner"] and accepted.before == lines[0].digest
    with pytest.raises(UsageError, match="nothing is pending"):
        eval_accept(AcceptConfig(name="title", reason="again"), workspace)


@pytest.mark.parametrize("content", [b"", b"GIF89a", b"\x89PNG\r\n\x1a\n" + b"\0" * 40])
def test_files_that_are_no_pictures(workspace: Workspace, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.png").write_bytes(content)
    with pytest.raises(DataError, match=r"x\.png"):
        eval_screenshot(ScreenshotsConfig(name="x", source=(str(tmp_path / "x.png"),)), workspace)


def test_a_terminal_is_compared_by_its_cells() -> None:
    golden = terminal.screen_of(b"10 %\r\x1b[2K100 %\r\n\x1b[1mdone\x1b[0m in 3 s\r\n", 20, 4)
    assert golden.lines[:2] == ("100 %", "done in 3 s") and golden.styles["1,0"] == "bold"
    again = terminal.screen_of(b"50 %\r100 %\r\n\x1b[1mdone\x1b[0m in 7 s\r\n", 20, 4)
    assert terminal.compare(again, golden).count == 1
    assert terminal.compare(again, golden, masks=[r"\d+ s"]).equal
    plain = terminal.screen_of(b"100 %\r\ndone in 3 s\r\n", 20, 4)
    assert terminal.compare(plain, golden).count == 4, "the same letters, not bold"


def test_a_program_in_a_terminal(workspace: Workspace) -> None:
    code = "import os, sys; print(os.get_terminal_size().columns if False else 'x' * 3, sys.stdout.isatty())"
    assert b"xxx True" in terminal.record_terminal([sys.executable, "-c", code])
    with pytest.raises(ProcessError, match="did not end"):
        terminal.record_terminal([sys.executable, "-c", "input()"], timeout_s=0.5)
    with pytest.raises(ProcessError, match="cannot be started"):
        terminal.record_terminal(["no-such-program"])
    config = ScreenshotsConfig(name="hello", kind="terminal", source=(sys.executable, "-c", "print('hello')"))
    assert eval_screenshot(config, workspace).new
    eval_accept(AcceptConfig(name="hello", reason="first"), workspace)
    assert eval_screenshot(config, workspace).equal


def test_side_by_side_of_other_sizes(scene: Pixels) -> None:
    found = compare(Frame(scene[:50]), Frame(scene))
    assert side_by_side.side_by_side_page("a<b", scene[:50], scene, found).startswith(b"<!doctype html>")


@pytest.mark.e2e
@pytest.mark.skipif(not shutil.which("chromium"), reason="no Chromium on this machine")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_page_that_asks_outside_is_caught(tmp_path: Path) -> None:
    from afs.evaluate.screenshots.web_page import take_screenshot

    page = tmp_path / "page.html"
    page.write_text("<body>hello<img src='http://127.0.0.1:9/x.png'><script>throw new Error('broken')</script></body>")
    shot = take_screenshot(str(page), width=200, height=100)
    assert shot.png.startswith(b"\x89PNG") and shot.text.strip() == "hello"
    assert shot.outside == ("http://127.0.0.1:9/x.png",) and "broken" in shot.problems[0]


@pytest.mark.parametrize(
    ("address", "uid", "opened"),
    [
        ("https://example.org/x", 0, False),
        ("http://192.168.1.4:8000/", 0, False),
        ("https://localhost.example.org/", 0, False),
        ("https://example.org/x", 1000, True),
        ("file:///tmp/report.html", 0, True),
        ("http://127.0.0.1:8080/", 0, True),
    ],
)
def test_a_page_from_the_network_is_not_opened_without_a_sandbox(
    monkeypatch: pytest.MonkeyPatch, address: str, uid: int, opened: bool
) -> None:
    web_page = pytest.importorskip("afs.evaluate.screenshots.web_page")
    monkeypatch.setattr(web_page.os, "geteuid", lambda: uid)
    if opened:
        web_page.refuse_unprotected(address)
    else:
        with pytest.raises(ProcessError, match="no sandbox when root starts it"):
            web_page.take_screenshot(address)
