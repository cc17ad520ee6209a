"""The Python API: every page about it runs, its names load late, and its options are checked like a config file's."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import afs
from afs import api, snes

PAGES = Path(__file__).parents[1] / "docs" / "how-to"


@pytest.mark.parametrize("page", ["snes-python.md", pytest.param("python.md", marks=pytest.mark.train)])
def test_every_block_of_a_page_runs_in_order(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    assert examples(page).count("\n") > 20
    exec(compile(examples(page), page, "exec"), names)


def examples(page: str) -> str:
    return "\n".join(re.findall(r"```python\n(.*?)```", (PAGES / page).read_text(), re.S))


@pytest.mark.parametrize(
    ("page", "holder", "names"),
    [
        ("python.md", "afs", [name for name in api.__all__ if inspect.isfunction(getattr(api, name))]),
        ("python.md", "factory", [n for n, f in vars(api.Factory).items() if not n.startswith("_") and callable(f)]),
        ("snes-python.md", "snes", [name for name in snes.__all__ if inspect.isfunction(getattr(snes, name))]),
    ],
)
def test_every_public_function_has_an_example_that_runs(page: str, holder: str, names: list[str]) -> None:
    assert names
    assert [name for name in names if f"{holder}.{name}(" not in examples(page)] == []


def test_importing_afs_loads_nothing() -> None:
    code = "import sys, afs; print(sorted(m for m in sys.modules if m.startswith(('afs.', 'msgspec', 'numpy'))))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_the_stub_names_what_the_package_gives() -> None:
    stub = (Path(afs.__file__).with_name("__init__.pyi")).read_text()
    assert set(re.findall(r"import (\w+) as", stub)) == set(afs._API)
    for name in afs._API:
        assert getattr(afs, name) is getattr(api, name)


def test_every_public_name_is_documented() -> None:
    for name in api.__all__:
        assert getattr(api, name).__doc__, name


def test_options_are_checked_like_a_config_file(tmp_path: Path) -> None:
    factory = afs.open_workspace(tmp_path / "ws", create=True)
    with pytest.raises(afs.ConfigError, match="did you mean 'count'"):
        factory.do("generate", domain="sums", cuont=3)
    with pytest.raises(afs.UsageError, match="did you mean 'models list'"):
        factory.do("models lst")
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        afs.nothing  # noqa: B018


def test_a_missing_workspace_is_not_made_by_accident(tmp_path: Path) -> None:
    with pytest.raises(afs.AfsError, match="is not a workspace; create one with"):
        afs.open_workspace(tmp_path / "typo")
    assert not (tmp_path / "typo").exists()


def test_an_unknown_family_names_the_nearest() -> None:
    with pytest.raises(afs.UsageError, match="did you mean 'largest'"):
        afs.make_tasks("sums", "larges", 1)
