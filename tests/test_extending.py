"""The pages about extending: their examples, installed as a package of its own, are found and do what the pages say."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

import afs
from afs import artifacts
from afs.evaluate import report_store

PAGES = Path(__file__).parents[1] / "docs" / "extend"


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> afs.Factory:
    """The examples as an installed distribution, and a workspace."""
    site = tmp_path / "site"
    for page in PAGES.glob("*.md"):
        for name, body in re.findall(r"```python\n# (my_parts/\w+\.py)\n(.*?)```", page.read_text(), re.S):
            (site / name).parent.mkdir(parents=True, exist_ok=True)
            (site / name).write_text(body)
    (site / "my_parts" / "__init__.py").touch()
    (project,) = re.findall(r"```toml\n(.*?)```", (PAGES / "index.md").read_text(), re.S)
    tables = tomllib.loads(project)["project"]
    info = site / "my_afs_parts-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: my-afs-parts\nVersion: 1\n")
    groups = tables["entry-points"].items()
    rows = ["\n".join([f"[{group}]", *(f"{key} = {value}" for key, value in names.items())]) for group, names in groups]
    (info / "entry_points.txt").write_text("\n".join(rows))
    monkeypatch.syspath_prepend(str(site))
    return afs.open_workspace(tmp_path / "ws", create=True)


def test_a_step_drops_with_its_reason(installed: afs.Factory) -> None:
    installed.generate(
        "sums", name="samples", families=[{"family": "say", "count": 30}, {"family": "largest", "count": 30}]
    )
    steps = [{"use": "short", "most": 1}]
    data = installed.curate("samples", name="data", steps=steps)
    assert data.counts["read"] == 60
    assert all(len(record.messages[-1].text) <= 1 for record in installed.records("data", "train"))
    with pytest.raises(afs.ConfigError, match="did you mean 'most'"):
        installed.curate("samples", name="data", steps=[{"use": "short", "mots": 1}])


def test_a_provider_and_a_scorer_measure_a_suite(installed: afs.Factory, tmp_path: Path) -> None:
    suite = tmp_path / "words.toml"
    suite.write_text(
        '[[items]]\nprompt = "Which register?"\ngold = "NMI at $4200"\n'
        'scorer = { use = "contains", words = ["NMI", "$4200"] }\n'
    )
    report = installed.evaluate(str(suite), "canned:it is NMI", base="none", name="words")
    row = report_store.table(installed.workspace, report).rows[0]
    assert (row.score, row.reason) == (0.5, "missing: $4200")


def test_a_target_places_a_model(installed: afs.Factory, tmp_path: Path) -> None:
    with artifacts.store_artifact(installed.workspace, "din", form="base", config_digest="x") as pending:
        (pending.folder / "weights.bin").write_bytes(b"tensors")
    installed.ship("din", "folder", folder=str(tmp_path / "out"))
    assert (tmp_path / "out" / "din@1" / "weights.bin").read_bytes() == b"tensors"
    with pytest.raises(afs.UsageError, match="did you mean 'folder'"):
        installed.ship("din", "foldr")
