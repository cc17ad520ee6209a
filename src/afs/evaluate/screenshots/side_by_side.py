"""A self-contained page with two images: a slider, a blink switch, and the differing pixels."""

from __future__ import annotations

import base64
from html import escape
from importlib import resources

import numpy as np

from afs.evaluate.screenshots.image_diff import Difference, Pixels
from afs.evaluate.screenshots.png_files import write_png
from afs.pages import Html, render_page


def side_by_side_page(name: str, pixels: Pixels, golden: Pixels, difference: Difference) -> bytes:
    """The page."""
    folder = resources.files("afs.evaluate.screenshots")
    style, script = ((folder / f"side_by_side.{kind}").read_text("utf-8") for kind in ("css", "js"))
    scale = max(1, min(4, 900 // max(1, pixels.shape[1])))
    wide, high = pixels.shape[1] * scale, pixels.shape[0] * scale
    size = f'width="{wide}" height="{high}"'
    marks = "".join(
        f'<rect x="{b.left * scale}" y="{b.top * scale}" width="{b.width * scale}" height="{b.height * scale}"/>'
        for b in difference.boxes
    )
    heat = _data(difference_mask(pixels, golden))
    buttons = "".join(f'<button value="{m}">{m}</button>' for m in ("slider", "blink", "difference"))
    body = (
        f"<h1>{escape(name)}</h1><p>{escape(difference.text())}</p>{buttons}"
        f'<input id=slide type=range min=0 max=100 value=50 aria-label="left: golden, right: new"><div class=stage>'
        f'<img {size} alt="new" src="{_data(pixels)}">'
        f'<div id=over><img {size} alt="golden" src="{_data(golden)}"></div>'
        f'<div id=line></div><div id=difference class=hidden style="position:absolute;left:0;top:0">'
        f'<img {size} alt="what differs" src="{heat}"><svg {size}>{marks}</svg></div></div>'
        "<p>Left of the line: the golden picture. Right of it: the new one.</p>"
    )
    return render_page(name, [Html(body)], style=style, script=script).encode()


def difference_mask(pixels: Pixels, golden: Pixels) -> Pixels:
    """The new image faded, with differing pixels in red; all red when the sizes differ."""
    if pixels.shape != golden.shape:
        return np.full_like(pixels, (179, 38, 30))
    faded = (pixels.astype(np.uint16) // 4 + 190).clip(0, 255).astype(np.uint8)
    faded[(pixels != golden).any(axis=2)] = (179, 38, 30)
    return faded


def _data(pixels: Pixels) -> str:
    return "data:image/png;base64," + base64.b64encode(write_png(pixels)).decode()
