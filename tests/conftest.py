"""Every test works in a workspace of its own, without network settings or keys of the person who runs it."""

from __future__ import annotations

import os
import socketserver
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.skip_report import pytest_sessionfinish, pytest_terminal_summary

from afs.workspace import Workspace

__all__ = ["pytest_sessionfinish", "pytest_terminal_summary"]

for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_DATASETS_OFFLINE"):
    os.environ[name] = "1"
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


@pytest.fixture(autouse=True)
def _clean_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for key in list(os.environ):
        if key.endswith(("_API_KEY", "_TOKEN")) or key.startswith("AFS_"):
            monkeypatch.delenv(key)
    monkeypatch.chdir(tmp_path)


def _handle_server_error(_: socketserver.BaseServer, request: object, client_address: object) -> None:
    """A client that hung up is part of many tests; any other error of a test's server fails the test."""
    error = sys.exc_info()[1]
    is_hang_up = isinstance(error, OSError) or (isinstance(error, ValueError) and "closed file" in str(error))
    if not is_hang_up:
        raise


socketserver.BaseServer.handle_error = _handle_server_error  # type: ignore[method-assign]


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    """A fresh workspace."""
    yield Workspace.create(tmp_path / "workspace")
