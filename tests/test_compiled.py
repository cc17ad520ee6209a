"""C parts: compiled once, found again, and a reason in words when there is none."""

from __future__ import annotations

import ctypes
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from afs import native_libraries
from afs.domains.snes import cpu_kernel

needs_cc = pytest.mark.skipif(
    not any(shutil.which(name) for name in ("cc", "gcc", "clang")), reason="no C compiler here"
)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def source(folder: Path, text: str) -> Path:
    path = folder / "part.c"
    path.write_text(text)
    return path


@needs_cc
def test_compiled_once_and_again_when_the_source_changes(tmp_path: Path) -> None:
    path = source(tmp_path, "int answer(void) { return 41; }\n")
    first = native_libraries.find_library("afs.no_such_part", [path])
    assert first.path is not None
    assert first.how.startswith("compiled in")
    assert native_libraries.find_library("afs.no_such_part", [path]) == (first.path, "compiled before")
    assert ctypes.CDLL(str(first.path)).answer() == 41
    second = native_libraries.find_library("afs.no_such_part", [source(tmp_path, "int answer(void) { return 42; }\n")])
    assert second.path not in (None, first.path)
    assert ctypes.CDLL(str(second.path)).answer() == 42


@needs_cc
def test_many_at_once_compile_once(tmp_path: Path) -> None:
    path = source(tmp_path, "int answer(void) { return 1; }\n")
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: native_libraries.find_library("afs.no_such_part", [path]), range(4)))
    assert len({one.path for one in found}) == 1
    assert sorted(one.how.split()[1] for one in found) == ["before", "before", "before", "in"]


@needs_cc
def test_a_broken_source_is_a_reason_not_an_exception(tmp_path: Path) -> None:
    found = native_libraries.find_library("afs.no_such_part", [source(tmp_path, "int answer( {\n")])
    assert found.path is None
    assert "part.c" in found.how
    assert not list(native_libraries.cache_folder().glob("*.so"))


def test_without_a_compiler_there_is_a_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    found = native_libraries.find_library("afs.no_such_part", [source(tmp_path, "int answer(void) { return 42; }\n")])
    assert found.path is None
    assert "no C compiler" in found.how


@needs_cc
def test_a_cache_that_cannot_be_written_is_a_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    found = native_libraries.find_library("afs.no_such_part", [source(tmp_path, "int answer(void) { return 42; }\n")])
    assert found.path is None
    assert "cannot be compiled" in found.how


@needs_cc
def test_a_build_of_another_version_is_compiled_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stale extension would leave the slow core running without a word."""
    cpu_kernel._found.cache_clear()
    stale = native_libraries.find_library("afs.domains.snes._cpu", cpu_kernel._SOURCES)
    monkeypatch.setattr(cpu_kernel, "VERSION", -1)
    monkeypatch.setattr(
        native_libraries, "compile_library", lambda sources: native_libraries.Library(stale.path, "compiled now")
    )
    try:
        assert cpu_kernel._found()[1] == "compiled now"
    finally:
        cpu_kernel._found.cache_clear()
