"""The rosters decode, name nobody twice, and tell what is missing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from afs.errors import UsageError
from afs.pipeline import read_recipe
from afs.registry import Registry
from afs.registry.name_rules import check_name
from afs.registry.registry_commands import ModelsListConfig, ModelsRegisterConfig, list_models, register
from afs.registry.rosters import list_rosters, load_roster
from afs.types import Artifact
from afs.workspace import Workspace

Store = Callable[..., Artifact]


def test_every_roster_decodes_and_no_name_stands_twice() -> None:
    members = [member for name in list_rosters() for member in load_roster(name).experts]
    assert {"triforce", "oracle", "story", "council"} <= set(list_rosters())
    names = [name for member in members for name in (member.name, *member.legacy)]
    assert len(set(names)) == len(names)
    for member in members:
        check_name(member.name)


def test_what_exists_what_is_planned_and_what_is_lacking(workspace: Workspace, store: Store) -> None:
    adapter = store("rauru", base="Qwen/Qwen2.5-Coder-14B-Instruct", dataset="asm@1")
    register(ModelsRegisterConfig(name="oracle-rauru-assembler", artifact=adapter.ref, preset="oracle"), workspace)
    rows = {row.name: row for row in list_models(ModelsListConfig(preset="oracle"), workspace)}
    made, planned = rows["oracle-rauru-assembler"], rows["oracle-purah-profiler"]
    assert (made.state, made.model, made.lacks) == ("candidate", "rauru@1", ("evaluation", "gate", "deployment"))
    assert (planned.state, planned.lacks[0]) == ("planned", "dataset")
    registry = Registry(workspace)
    assert registry.resolve("hyrule-asm-v1") == adapter, "older names come with the roster"
    assert registry.expert("oracle-rauru-assembler").tags == ("generate",)
    with pytest.raises(UsageError, match="did you mean 'oracle'"):
        list_models(ModelsListConfig(preset="orcale"), workspace)


RECIPES = Path(__file__).parents[2] / "recipes"


@pytest.mark.parametrize("name", list_rosters())
def test_router_and_council_have_their_recipe(name: str) -> None:
    whole = {step.name: step for step in read_recipe(RECIPES / "council.toml")}
    for member in load_roster(name).experts:
        if member.forms in (("router",), ("council",)):
            assert whole[member.name].config.name == member.name
