"""Recipes: done steps are skipped, what changed is redone with all that follows, mistakes are found before the start."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from afs import datasets
from afs.errors import ConfigError, MissingError
from afs.pipeline import RunConfig, run_recipe
from afs.workspace import Workspace

RECIPE = """
[samples]
verb = "generate"
domain = "sums"
name = "raw"
count = {count}
families = [{{ family = "copy", count = {count} }}]

[curate]
sources = ["raw"]
name = "set"
"""


def outcomes(workspace: Workspace, path: Path, **options: object) -> list[tuple[str, str, str]]:
    done = run_recipe(RunConfig(recipe=path, **options), workspace)  # type: ignore[arg-type]
    return [(row.step, row.outcome, row.result) for row in done]


def test_what_is_done_is_skipped_and_what_changed_is_redone(workspace: Workspace, tmp_path: Path) -> None:
    path = tmp_path / "r.toml"
    path.write_text(RECIPE.format(count=60))
    assert outcomes(workspace, path, dry_run=True) == [("samples", "would run", ""), ("curate", "would run", "")]
    assert workspace.names("records") == []
    assert outcomes(workspace, path) == [("samples", "done", "records:raw@1"), ("curate", "done", "dataset:set@1")]
    assert outcomes(workspace, path) == [
        ("samples", "skipped", "records:raw@1"),
        ("curate", "skipped", "dataset:set@1"),
    ]
    assert outcomes(workspace, path, from_step="curate") == [
        ("samples", "skipped", "records:raw@1"),
        ("curate", "done", "dataset:set@2"),
    ]
    path.write_text(RECIPE.format(count=70))
    assert outcomes(workspace, path) == [("samples", "done", "records:raw@2"), ("curate", "done", "dataset:set@3")]
    assert sum(datasets.split_counts(datasets.load(workspace, "set")).values()) == 70


def test_a_step_whose_result_is_gone_runs_again(workspace: Workspace, tmp_path: Path) -> None:
    path = tmp_path / "r.toml"
    path.write_text(RECIPE.format(count=60))
    outcomes(workspace, path)
    (workspace.root / "datasets" / "set" / "1" / "manifest.json").unlink()
    assert [row[1] for row in outcomes(workspace, path)] == ["skipped", "done"]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("", "a recipe needs at least one table"),
        ("x = [1]", r"x: want a table named after a verb, or a variable, got \[1\]"),
        ("[generat]\n", r"generat\.verb: no verb is called 'generat'; did you mean 'generate'"),
        ("[generate]\ndomain = 'sums'\nname = 'a'\ncuont = 3", r"generate\.cuont: unknown field; did you mean 'count'"),
    ],
)
def test_mistakes_are_found_before_anything_runs(workspace: Workspace, tmp_path: Path, text: str, wanted: str) -> None:
    path = tmp_path / "r.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=wanted):
        outcomes(workspace, path)
    with pytest.raises(ConfigError, match="no step is called 'curat'; did you mean 'curate'"):
        path.write_text(RECIPE.format(count=1))
        outcomes(workspace, path, from_step="curat")


RECIPES = Path(__file__).parents[1] / "recipes"
SMALL = [RECIPES / f"{name}.toml" for name in ("expert-iteration", "quickstart", "router", "summarizer")]


@pytest.mark.parametrize("path", SMALL, ids=[path.stem for path in SMALL])
def test_every_small_recipe_decodes_and_says_what_it_would_do(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "logs").mkdir()
    steps = outcomes(workspace, path, dry_run=True)
    assert len(steps) >= 4 and {outcome for _, outcome, _ in steps} == {"would run"}


def test_what_a_late_step_needs_is_missed_before_the_first_step(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "xllamacpp", None)
    path = tmp_path / "r.toml"
    path.write_text(RECIPE.format(count=20) + '\n[ship]\nartifact = "model"\nto = "gguf"\n')
    with pytest.raises(MissingError, match=r"xllamacpp: pip install 'afs-factory\[serve\]'"):
        outcomes(workspace, path)
    assert workspace.names("records") == []
