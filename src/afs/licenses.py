"""The license of a tree, as an SPDX identifier, from its own files; unknown stays empty."""

from __future__ import annotations

import functools
import json
import re
import tempfile
import tomllib
from pathlib import Path

_NAMES = re.compile(r"^(licen[cs]e|copying|unlicen[cs]e)([.\-_].*)?$", re.I)
_SPDX_TAG = re.compile(r"SPDX-License-Identifier:\s*([A-Za-z0-9.+()\- ]+?)\s*(?:\*/|-->|$)", re.M)
_ID = re.compile(r"^[A-Za-z0-9][A-Za-z0-9.+-]*( (AND|OR|WITH) [A-Za-z0-9][A-Za-z0-9.+-]*)*$")
_HASH = re.compile(r"^[0-9a-f]{40,64}$")
_HEAD = 1 << 14
_BRACKETS = str.maketrans("", "", "()")

_PHRASES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("Apache-2.0", ("apache license", "version 2.0")),
    ("AGPL-3.0", ("gnu affero general public license", "version 3")),
    ("LGPL-3.0", ("gnu lesser general public license", "version 3")),
    ("LGPL-2.1", ("gnu lesser general public license", "version 2.1")),
    ("GPL-3.0", ("gnu general public license", "version 3")),
    ("GPL-2.0", ("gnu general public license", "version 2")),
    ("MPL-2.0", ("mozilla public license", "2.0")),
    ("EPL-2.0", ("eclipse public license", "v 2.0")),
    ("BSL-1.0", ("boost software license", "version 1.0")),
    ("CC0-1.0", ("cc0 1.0",)),
    ("CC-BY-SA-4.0", ("attribution-sharealike 4.0",)),
    ("CC-BY-4.0", ("creative commons attribution 4.0",)),
    ("Unlicense", ("this is free and unencumbered software",)),
    ("WTFPL", ("do what the fuck you want to public license",)),
    ("Zlib", ("provided 'as-is'", "altered source versions must be plainly marked")),
    ("ISC", ("permission to use, copy, modify, and/or distribute this software for any purpose with or without fee",)),
    ("BSD-3-Clause", ("redistribution and use in source and binary forms", "neither the name")),
    ("BSD-2-Clause", ("redistribution and use in source and binary forms", "this list of conditions")),
    ("MIT", ("permission is hereby granted, free of charge", "the above copyright notice and this permission notice")),
)
"""Phrases that together identify a license; the first match wins."""


def is_identifier(text: str) -> bool:
    """Whether a text has the form of an SPDX identifier, or of several joined by AND, OR and WITH."""
    return _ID.match(text.translate(_BRACKETS)) is not None


def classify_license(text: str) -> str:
    """The license of a text; empty when it is not recognized."""
    if tag := _SPDX_TAG.search(text):
        return tag[1].strip() if _ID.match(tag[1].strip()) else ""
    plain = " ".join(text.lower().split())
    for name, phrases in _PHRASES:
        if all(phrase in plain for phrase in phrases):
            return name
    return ""


def find_tag(text: str) -> str:
    """The SPDX tag at the top of a file."""
    tag = _SPDX_TAG.search(text[:2000])
    return tag[1].strip() if tag and _ID.match(tag[1].strip()) else ""


@functools.lru_cache(maxsize=4096)
def find_license(folder: Path) -> str:
    """The license that covers a folder: the nearest one upward, within its work tree and below the home folder."""
    for place in _list_upward(folder):
        if found := _read_license_files(place):
            return found
    return ""


@functools.lru_cache(maxsize=4096)
def find_commit(folder: Path) -> str:
    """The newest commit of the work tree that a folder is in, read from its files; else empty."""
    root = _list_upward(folder)[-1:]
    return read_head(root[0] / ".git") if root and (root[0] / ".git" / "HEAD").is_file() else ""


def _list_upward(folder: Path) -> list[Path]:
    """A folder and those above it, up to the root of its work tree; never the home folder, temporary or root ones."""
    found: list[Path] = []
    outside = {Path.home().resolve(), Path(tempfile.gettempdir()).resolve(), Path(folder.anchor)}
    for place in (folder, *folder.parents):
        if place in outside:
            break
        found.append(place)
        if (place / ".git").exists():
            break
    return found


def read_head(git: Path, common: Path | None = None) -> str:
    """The commit that the HEAD of a git folder names, read from its files; empty when there is none.

    `common` is the folder of the refs where it is another: that of the repository a work tree belongs to.
    """
    try:
        head = (git / "HEAD").read_text("ascii").strip()
        if not head.startswith("ref: "):
            return head if _HASH.match(head) else ""
        name = head.removeprefix("ref: ")
        refs = common or git
        if (refs / name).is_file() and (refs / name).resolve().is_relative_to(refs.resolve()):
            found = (refs / name).read_text("ascii").strip()
            return found if _HASH.match(found) else ""
        packed = (refs / "packed-refs").read_text("ascii").splitlines()
    except (OSError, ValueError):
        return ""
    return next((line.split()[0] for line in packed if line.endswith(f" {name}")), "")


def _read_license_files(folder: Path) -> str:
    try:
        files = sorted(p for p in folder.iterdir() if _NAMES.match(p.name) and p.is_file())
    except OSError:
        return ""
    for path in files:
        if found := classify_license(_read_head(path)):
            return found
    return _read_package_license(folder)


def _read_head(path: Path) -> str:
    try:
        with path.open("rb") as source:
            return source.read(_HEAD).decode("utf-8", "replace")
    except OSError:
        return ""


def _read_package_license(folder: Path) -> str:
    """The license stated in a package's metadata."""
    found: object = None
    try:
        if (folder / "pyproject.toml").is_file():
            found = tomllib.loads((folder / "pyproject.toml").read_text("utf-8")).get("project", {}).get("license")
        elif (folder / "Cargo.toml").is_file():
            found = tomllib.loads((folder / "Cargo.toml").read_text("utf-8")).get("package", {}).get("license")
        elif (folder / "package.json").is_file():
            found = json.loads((folder / "package.json").read_text("utf-8")).get("license")
    except (OSError, ValueError, AttributeError, RecursionError):
        return ""
    return found if isinstance(found, str) and _ID.match(found) else ""
