"""`afs data push` against a local server that speaks the hub's API, through the hub's own client."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from tests.curate.test_curate import solved, store
from tests.hub_server import Hub, hub

from afs.data.push import PushConfig, push_dataset
from afs.errors import DataError
from afs.workspace import Workspace

__all__ = ["hub"]


def test_a_dataset_and_its_card_are_uploaded(workspace: Workspace, hub: str) -> None:
    store(workspace, solved(6))
    done = push_dataset(PushConfig(ref="raw", repo="me/sums", endpoint=hub), workspace)
    assert done.rows == {"all": 6} and "commit" in done.url
    assert len(Hub.files["all.jsonl"].splitlines()) == 6
    assert "license: mit" in Hub.files["README.md"]
    assert any(sent == "Bearer hf_test" for _, sent in Hub.calls)


def test_a_dry_run_sends_nothing_and_a_refusal_is_one_line(workspace: Workspace, hub: str) -> None:
    store(workspace, solved(6))
    assert push_dataset(PushConfig(ref="raw", repo="me/sums", endpoint=hub, dry_run=True), workspace).url == ""
    assert Hub.calls == []
    with pytest.raises(DataError, match="cannot upload to 'me/forbidden'"):
        push_dataset(PushConfig(ref="raw", repo="me/forbidden", endpoint=hub), workspace)
    assert Hub.files == {}


def test_what_a_killed_push_left_is_deleted(
    workspace: Workspace, hub: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (tmp_path / "afs-push-left/out").mkdir(parents=True)
    store(workspace, solved(6))
    push_dataset(PushConfig(ref="raw", repo="me/sums", endpoint=hub, dry_run=True), workspace)
    assert list(tmp_path.glob("afs-push-*")) == []
