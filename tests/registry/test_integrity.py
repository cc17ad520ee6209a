"""The chain of events, re-hashing, removing what nothing needs, and `registry.toml`."""

from __future__ import annotations

import threading
import tomllib
from collections.abc import Callable

import pytest

from afs import artifacts
from afs.errors import DataError, RefusedError, UsageError
from afs.registry import Registry, chain_problems
from afs.registry.garbage import GcConfig, gc
from afs.registry.integrity import ModelsVerifyConfig, verify
from afs.types import Artifact
from afs.workspace import Workspace

Store = Callable[..., Artifact]


@pytest.fixture
def registry(workspace: Workspace, store: Store) -> Registry:
    """A registry with two names and a champion."""
    registry = Registry(workspace)
    registry.register("din", store("din-lora").ref)
    registry.promote("din", reason="first")
    registry.register("nayru", store("nayru-lora").ref)
    return registry


def test_a_changed_removed_or_reordered_event_is_found(registry: Registry) -> None:
    events = registry.log.read()
    assert chain_problems(events) == []
    path = registry.log.path
    original = path.read_bytes()
    lines = original.splitlines(keepends=True)
    for broken in (
        original.replace(b'"first"', b'"worst"'),
        b"".join(lines[:1] + lines[2:]),
        b"".join([lines[1], lines[0], *lines[2:]]),
    ):
        path.write_bytes(broken)
        assert chain_problems(registry.log.read())
        with pytest.raises(RefusedError):
            verify(ModelsVerifyConfig(), registry.workspace)


def test_a_cut_off_end_is_found_by_the_rendered_file(registry: Registry) -> None:
    lines = registry.log.path.read_bytes().splitlines(keepends=True)
    registry.log.path.write_bytes(b"".join(lines[:-1]))
    assert chain_problems(registry.log.read()) == [], "the chain alone cannot know"
    with pytest.raises(RefusedError, match="the log was truncated"):
        verify(ModelsVerifyConfig(), registry.workspace)


def test_a_crash_in_the_middle_of_an_event_loses_only_that_event(registry: Registry, store: Store) -> None:
    whole = registry.log.path.read_bytes()
    registry.log.path.write_bytes(whole + b'{"number": 99, "na')
    assert len(registry.log.read()) == len(whole.splitlines())
    registry.register("farore", store("farore-lora").ref)
    assert chain_problems(registry.log.read()) == []
    assert verify(ModelsVerifyConfig(), registry.workspace).models == 3


def test_garbage_in_the_log_names_the_line(registry: Registry) -> None:
    registry.log.path.write_bytes(b"nonsense\n" + registry.log.path.read_bytes())
    with pytest.raises(DataError, match=r"registry\.jsonl:1"):
        registry.entries()


def test_verify_finds_changed_and_missing_files(registry: Registry) -> None:
    clean = verify(ModelsVerifyConfig(), registry.workspace)
    assert (clean.models, clean.problems) == (2, ())
    folder = artifacts.folder_of(registry.workspace, registry.resolve("din"))
    (folder / "data.bin").write_text("changed")
    with pytest.raises(RefusedError, match="content changed"):
        verify(ModelsVerifyConfig(), registry.workspace)
    verify(ModelsVerifyConfig(name="nayru"), registry.workspace)
    (folder / "data.bin").unlink()
    with pytest.raises(RefusedError, match="missing"):
        verify(ModelsVerifyConfig(name="din"), registry.workspace)


def test_gc_never_removes_what_is_reachable(workspace: Workspace, store: Store) -> None:
    registry = Registry(workspace)
    base = store("base", "base", form="base")
    store("base", "newer base", form="base")
    old = store("din-lora", "1", base=base.ref)
    champion = store("din-lora", "2", base=base.ref)
    newest = store("din-lora", "3", base=base.ref)
    store("scratch", "x")
    store("scratch", "y")
    registry.register("din", old.ref)
    registry.register("din", champion.ref)
    registry.promote("din", champion.ref, reason="r")
    registry.register("din", newest.ref)
    planned = gc(GcConfig(keep=1, dry_run=True), workspace)
    assert [(row.model, row.removed) for row in planned] == [(old.ref, False)]
    assert artifacts.load(workspace, old.ref) == old
    assert [row.model for row in gc(GcConfig(keep=1), workspace)] == [old.ref]
    with pytest.raises(UsageError, match="no version 1"):
        artifacts.load(workspace, old.ref)
    for kept in (base, champion, newest):
        assert artifacts.load(workspace, kept.ref) == kept
    assert registry.entry("din").deleted == (old.ref,)
    assert [row.model for row in gc(GcConfig(keep=1, unregistered=True), workspace)] == ["scratch@1"]
    assert verify(ModelsVerifyConfig(), workspace).problems == ()


def test_notes_and_comments_by_hand_stay(registry: Registry, store: Store) -> None:
    path = registry.workspace.root / "registry.toml"
    text = path.read_text()
    assert text.index('[models."din"]') < text.index('[models."nayru"]')
    text = text.replace('[models."din"]', '# our first\n[models."din"]\nnotes = "loved by all"')
    text = text.replace('champion = "din-lora@1"', 'champion = "din-lora@1"  # do not touch')
    path.write_text(text)
    second = store("din-lora", "second")
    registry.register("din", second.ref)
    registry.promote("din", reason="better")
    after = path.read_text()
    for kept in ("# our first", 'notes = "loved by all"', "# do not touch"):
        assert kept in after
    assert 'champion = "din-lora@2"' in after
    assert 'previous = "din-lora@1"' in after
    assert after.count('[models."nayru"]') == 1


def test_a_broken_rendered_file_says_what_to_do(registry: Registry) -> None:
    path = registry.workspace.root / "registry.toml"
    path.write_text(path.read_text().replace('form = "adapter"', "form = adapter"))
    with pytest.raises(DataError, match="delete it"):
        registry.describe("din", domain="snes")


def test_a_snapshot_is_never_older_than_the_log(
    registry: Registry, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("afs.registry.registry_cache._MIN_BYTES", 0)
    monkeypatch.setattr("afs.registry.registry_cache._END", 64)
    kept = registry.workspace.root / "cache" / "registry.msgpack"
    first = registry.entries()
    assert kept.is_file()
    assert registry.entries() == first
    registry.register("farore", store("farore-lora").ref)
    assert set(registry.entries()) == {*first, "farore"}
    kept.write_bytes(b"garbage")
    assert set(registry.entries()) == {*first, "farore"}


def test_a_damaged_snapshot_is_not_used_and_a_damaged_log_is_not_read(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("afs.registry.registry_cache._MIN_BYTES", 0)
    monkeypatch.setattr("afs.registry.registry_cache._END", 64)
    kept = registry.workspace.root / "cache" / "registry.msgpack"
    whole = registry.entries()
    kept.write_bytes(kept.read_bytes().replace(b"nayru-lora@1", b"other-lora@1"))
    assert registry.entries() == whole
    monkeypatch.undo()
    log = registry.log.path
    log.write_bytes(log.read_bytes().replace(b"nayru-lora@1", b"other-lora@1", 1))
    for read in (registry.entries, lambda: registry.resolve("nayru")):
        with pytest.raises(DataError, match=r"log is damaged .*was changed after it was written"):
            read()
    with pytest.raises(RefusedError, match="was changed after it was written"):
        verify(ModelsVerifyConfig(), registry.workspace)


def test_a_lost_or_stale_rendered_file_is_made_whole(registry: Registry, store: Store) -> None:
    path = registry.workspace.root / "registry.toml"
    path.unlink()
    registry.describe("din", domain="snes")
    assert '[models."nayru"]' in path.read_text()
    stale = path.read_text()
    registry.deprecate("nayru", "nayru-lora@1", "replaced")
    path.write_text(stale)
    registry.describe("din", domain="sums")
    assert "replaced" in path.read_text(), "what a killed process did not render is rendered with the next change"
    assert verify(ModelsVerifyConfig(), registry.workspace).problems == ()


def test_a_block_made_anew_says_what_an_edited_one_says(registry: Registry, store: Store) -> None:
    odd = 'quotes " and \\ and\nlines — ü'
    registry.register("din", store("din-lora", "two").ref, detail="2026-01-07", tags=("a", "b"), domain="snes")
    registry.deprecate("din", "din-lora@1", odd)
    registry.deployed("din", "din-lora@2", "ollama")
    registry.describe("din", legacy=("din-v2:latest",))
    path = registry.workspace.root / "registry.toml"
    edited = tomllib.loads(path.read_text())
    path.unlink()
    registry.refresh("din")
    fresh = tomllib.loads(path.read_text())
    assert fresh == edited
    assert fresh["models"]["din"]["deprecated"] == {"din-lora@1": odd}
    registry.describe("din", domain="sums")
    assert tomllib.loads(path.read_text())["models"]["din"] == {**fresh["models"]["din"], "domain": "sums"}


def test_writers_at_once_wait_for_each_other(registry: Registry, store: Store) -> None:
    made = [store(f"model-{number}").ref for number in range(8)]

    def work(refs: list[str]) -> None:
        for ref in refs:
            Registry(registry.workspace).register(f"expert-{ref.partition('@')[0]}", ref)

    threads = [threading.Thread(target=work, args=(made[start::4],)) for start in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(registry.entries()) == 2 + len(made)
    assert verify(ModelsVerifyConfig(), registry.workspace).problems == ()
