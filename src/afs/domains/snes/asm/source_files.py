"""Files a source may read: those below the folders it was given, and no others."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path

from afs.domains.snes.asm.diagnostics import BlockHalt
from afs.domains.snes.asm.source_text import display_text

MAX_FILE = 64 * 1024 * 1024


class Files:
    """The sandbox: a name in a source -> a file below one of the folders."""

    def __init__(self, folders: Sequence[Path], allowed: Sequence[Path] = ()) -> None:
        self.folders = tuple(folders)
        self._roots = tuple(os.path.realpath(folder) for folder in (*folders, *allowed))
        self._data: dict[str, bytes] = {}
        self._found: dict[tuple[str, str], str | None] = {}

    def find(self, name: str, beside: str) -> str | None:
        """The path of a file named in the file `beside`, or None if there is none that may be read."""
        key = (name, beside)
        if key not in self._found:
            self._found[key] = next((path for path in self._places(name, beside) if self._is_there(path)), None)
        return self._found[key]

    def _places(self, name: str, beside: str) -> list[str]:
        if not self._roots or not name:
            return []
        text = display_text(name).replace("\\", "/")  # as Asar does, for projects written on Windows
        if os.path.isabs(text):
            return [os.path.normpath(text)]
        folders = [os.path.dirname(beside) or ".", *map(str, self.folders)]
        return [os.path.normpath(os.path.join(folder, text)) for folder in folders]

    def _is_there(self, path: str) -> bool:
        try:
            return self._is_inside(path) and os.path.exists(path)
        except (OSError, ValueError):
            return False

    def _is_inside(self, path: str) -> bool:
        real = os.path.realpath(path)
        return any(real == root or real.startswith(root.rstrip(os.sep) + os.sep) for root in self._roots)

    def resolve(self, name: str, beside: str, report_in: int = 0) -> str:
        """The path of a file that can be read; anything else is an error of the source."""
        path = self.find(name, beside)
        if path is not None:
            return path
        places = self._places(name, beside)
        outside = bool(places) and not any(self._allowed(place) for place in places)
        kind = "Efailed_to_open_file_access_denied" if outside else "Efile_not_found"
        raise BlockHalt(kind, display_text(name), report_in=report_in)

    def _allowed(self, path: str) -> bool:
        try:
            return self._is_inside(path)
        except (OSError, ValueError):
            return False

    def read(self, name: str, beside: str, report_in: int = 0) -> bytes:
        """The bytes of a file."""
        return self.load(self.resolve(name, beside, report_in), report_in)

    def load(self, path: str, report_in: int = 0) -> bytes:
        """The bytes of a path that `resolve` gave."""
        if path not in self._data:
            self._data[path] = self._load(path, report_in)
        return self._data[path]

    def _load(self, path: str, report_in: int) -> bytes:
        try:
            mode = os.stat(path)
            if not stat.S_ISREG(mode.st_mode):
                raise BlockHalt("Efailed_to_open_not_regular_file", path, report_in=report_in)
            if mode.st_size > MAX_FILE:
                raise BlockHalt("Efailed_to_open_file", path, report_in=report_in)
            with open(path, "rb") as file:
                return file.read(MAX_FILE)
        except (OSError, ValueError) as error:
            raise BlockHalt("Efailed_to_open_file", path, report_in=report_in) from error


class SourceTexts:
    """The files of an assembly: text, raw lines, and lines ready to run."""

    def __init__(self, files: Files) -> None:
        self.files = files
        self.raw_lines: dict[str, list[str]] = {}
        self.texts: dict[str, str] = {}
        self.prepared: dict[str, list[str]] = {}
        self.included_once: list[str] = []
