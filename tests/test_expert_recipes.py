"""Recipes of experts: every roster member has one, on its base; all pass the dry run; two run at tiny scale."""

from __future__ import annotations

from pathlib import Path

import pytest

from afs import artifacts, jsonl
from afs.errors import ConfigError, UsageError
from afs.pipeline import RunConfig, run_recipe
from afs.recipe_file import read_recipe, resolve_recipe
from afs.registry import Registry
from afs.registry.rosters import list_rosters, load_roster
from afs.workspace import Workspace

FOLDER = Path(__file__).parents[1] / "recipes" / "experts"
RECIPES = sorted(path.stem for path in FOLDER.glob("*.toml"))
MEMBERS = [
    (roster, member)
    for roster in list_rosters()
    for member in load_roster(roster).experts
    if member.forms not in (("router",), ("council",))
]


def test_every_roster_member_has_one_recipe_on_its_base() -> None:
    assert {member.name for _, member in MEMBERS} == set(RECIPES) - {"euclid-asm"}
    for roster, member in MEMBERS:
        text = resolve_recipe(FOLDER / f"{member.name}.toml")
        assert (text.variables["name"], text.variables["roster"]) == (member.name, roster)
        assert text.variables["hub"] == member.base, member.name
        assert text.tables["train"]["name"] == text.tables["register"]["name"] == member.name


@pytest.fixture
def inputs(tmp_path: Path) -> dict[str, dict[str, str]]:
    """What a user brings: a tested project and a canon."""
    (tmp_path / "canon").mkdir()
    (tmp_path / "canon" / "din.md").write_text("# Din\n\nThe goddess of power.\n")
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "a.py").write_text("def f(x):\n    return x + 1\n")
    canon = {path.stem: {"canon": str(tmp_path / "canon")} for path in FOLDER.glob("oracle-*.toml")}
    return canon | {"zelda": {"project": str(tmp_path / "project")}}


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("scale", ["full", "small", "tiny"])
def test_every_recipe_passes_the_dry_run(
    workspace: Workspace, inputs: dict[str, dict[str, str]], name: str, scale: str
) -> None:
    if scale == "small":
        with artifacts.store_artifact(workspace, "smollm2", form="base", facts={"imported": True}) as pending:
            jsonl.replace(pending.folder / "config.json", b"{}")
    known = resolve_recipe(FOLDER / f"{name}.toml").variables
    values = {key: value for key, value in inputs.get(name, {}).items() if key in known}
    config = RunConfig(recipe=FOLDER / f"{name}.toml", dry_run=True, scale=scale, set=values)
    steps = [row.step for row in run_recipe(config, workspace)]
    assert ("promote" in steps) == (scale != "tiny")


@pytest.mark.parametrize(("name", "domain"), [("afs-operator-v1", "tools"), ("veran", "snes")])
def test_two_run_at_tiny_scale_to_a_registered_candidate(workspace: Workspace, name: str, domain: str) -> None:
    pytest.importorskip("torch")
    done = run_recipe(RunConfig(recipe=FOLDER / f"{name}.toml", scale="tiny"), workspace)
    assert [row.outcome for row in done] == ["done"] * len(done)
    entry = Registry(workspace).entry(name)
    assert entry.aliases["candidate"] == f"{name}@1" and "champion" not in entry.aliases
    assert Registry(workspace).expert(name).domain == domain
    again = run_recipe(RunConfig(recipe=FOLDER / f"{name}.toml", scale="tiny"), workspace)
    assert [row.outcome for row in again] == ["skipped"] * len(again)


def test_all_problems_are_reported_at_once(workspace: Workspace, tmp_path: Path) -> None:
    path = tmp_path / "r.toml"
    path.write_text(
        '[read]\nverb = "ingest"\nkind = "docz"\npaths = ["nowhere"]\nname = "notes"\n'
        '[samples]\nverb = "generate"\ndomain = "snes"\nname = "raw"\nfamilies = [{ family = "optimise", count = 3 }]\n'
        '[data]\nverb = "curate"\nsources = ["raw", "rwa"]\nname = "set"\nsteps = [{ use = "dedupe" }]\n'
        "split = { train = 0.9, val = 0.3, test = 0.1 }\n"
        '[train]\nname = "m"\ndataset = "set"\nbase = "qwen"\nepocs = 3\n'
        '[exam]\nverb = "eval run"\nsuite = "sets:test"\nmodel = ["m"]\n'
        '[mine]\nverb = "generate"\ndomain = "sums"\nname = "x"\noptions = { path = "y" }\n'
    )
    with pytest.raises(UsageError) as found:
        run_recipe(RunConfig(recipe=path, dry_run=True), workspace)
    for text in (
        "no source is called 'docz'; did you mean 'docs'",
        "nowhere: not there",
        "samples.families: ",
        "9 problems",
        "no records or dataset 'rwa' is stored",
        "no step is called 'dedupe'; did you mean 'dedup'",
        "data.split: want shares that add up to 1, got 1.3",
        "train.epocs: unknown field; did you mean 'epochs'",
        "no dataset or suite 'sets'",
        "the pack sums takes no options",
    ):
        assert text in str(found.value), text
    assert workspace.names("records") == []


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("count = 5", "count = -5", "samples.families[0].count: "),
        ("set:test", "set:exam", "exam.suite: a dataset has the sides train, val, test, not 'exam'"),
        ('method = "scratch"', 'method = "lora"', "train.base: the method 'lora' needs a base"),
        ('method = "scratch"', 'method = "lora"\nbase = "lama"', "`afs doctor --fix smollm2` gets that small base"),
        ('name = "set"', 'name = "set"\nsplit = { train = -1.0, val = 1.0, test = 1.0 }', "data.split: want shares of"),
        ('name = "set"', 'name = "set"\nsplit = { counts = { exam = 3 } }', "data.split.counts: sides are train, val"),
    ],
)
def test_one_problem_is_found_before_anything_runs(
    workspace: Workspace, tmp_path: Path, old: str, new: str, problem: str
) -> None:
    text = (
        '[samples]\nverb = "generate"\ndomain = "sums"\nname = "raw"\nfamilies = [{ family = "add", count = 5 }]\n'
        '[data]\nverb = "curate"\nsources = ["raw"]\nname = "set"\n[train]\nname = "m"\ndataset = "set"\nmethod = "scratch"\n'
        '[exam]\nverb = "eval run"\nsuite = "set:test"\nmodel = ["m"]\n'
    )
    path = tmp_path / "r.toml"
    path.write_text(text)
    run_recipe(RunConfig(recipe=path, dry_run=True), workspace)
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(UsageError) as found:
        run_recipe(RunConfig(recipe=path, dry_run=True), workspace)
    assert problem in str(found.value) and ": 1 problem\n" in str(found.value)


def test_scales_variables_and_shared_steps(tmp_path: Path) -> None:
    (tmp_path / "base.toml").write_text(
        'name = "x"\ncount = 9\n[curate]\nsources = ["{name}-raw"]\nname = "{name}-set"\n'
        "[scale.tiny]\ncount = 2\n[scale.tiny.curate]\nskip = true\n"
    )
    path = tmp_path / "r.toml"
    path.write_text(
        'extends = "base.toml"\nname = "din"\n[samples]\nverb = "generate"\ndomain = "sums"\nname = "{name}-raw"\ncount = "{count}"\n'
    )
    full = read_recipe(path)
    assert [step.name for step in full] == ["samples", "curate"] and full[1].config.name == "din-set"  # type: ignore[attr-defined]
    tiny = read_recipe(path, "tiny", {"name": "veran"})
    assert [step.name for step in tiny] == ["samples"]
    assert (tiny[0].config.count, tiny[0].config.name) == (2, "veran-raw")  # type: ignore[attr-defined]
    with pytest.raises(ConfigError, match="no scale is called 'tny'; did you mean 'tiny'"):
        read_recipe(path, "tny")
    with pytest.raises(ConfigError, match="no variable is called 'nam'; did you mean 'name'"):
        read_recipe(path, "", {"nam": "x"})
    with pytest.raises(ConfigError, match="want a number such as 9"):
        read_recipe(path, "", {"count": "many"})
    path.write_text('extends = "r.toml"\n')
    with pytest.raises(ConfigError, match="extends itself"):
        read_recipe(path)


def test_the_page_of_experts_has_a_row_for_every_recipe() -> None:
    page = (FOLDER.parents[1] / "docs" / "experts.md").read_text()
    for name in RECIPES:
        assert f"| `{name}` | {resolve_recipe(FOLDER / f'{name}.toml').variables['hub']} |" in page
