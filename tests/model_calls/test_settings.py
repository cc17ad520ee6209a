"""providers.toml and nodes.toml: tiers, chains, own addresses, nodes; whatever is unknown is an error."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest

from afs import models
from afs.errors import ConfigError, UsageError
from afs.model_calls.provider_settings import read_providers, routes
from afs.model_calls.target_pool import refuse_ended
from afs.workspace import Workspace

NODES = """
[nodes.box]
url = "http://box:11434"
models = ["qwen3:14b"]
prefer = ["cheap"]
weight = 3
[nodes.attic]
url = "http://attic:8000"
kind = "vllm"
models = ["qwen3:14b", "magistral"]
"""


def write(root: Path, providers: str = "", nodes: str = "") -> Path:
    root.mkdir(exist_ok=True)
    (root / "providers.toml").write_text(providers)
    (root / "nodes.toml").write_text(nodes)
    return root


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('[tier]\nfast = ["echo:"]', "tier: unknown field; did you mean 'tiers'"),
        ("[routing.coding]\nfallback_order = []", "routing: unknown field"),
        ("[providers.openai]\nbase = 'x'", "providers.openai.base: unknown field; did you mean 'base_url'"),
        ("[providers.mine]\nbase_url = 'http://x'", "no provider speaks 'mine'"),
        ("[tiers]\nopenai = ['echo:']", "tiers.openai: this name is taken"),
        ("[tiers]\nfast = []", "tiers.fast: want at least one model"),
        ("[providers.openai]\ntimeout_s = -1", "providers.openai.timeout_s: want"),
    ],
)
def test_what_is_unknown_is_an_error(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem.replace("[", r"\[")):
        read_providers(write(tmp_path / "w", text))


def test_a_chain_that_comes_back_to_itself(tmp_path: Path) -> None:
    root = write(tmp_path / "w", "[tiers]\na = ['b']\n[chains]\nb = ['a']\n")
    with pytest.raises(ConfigError, match="a → b → a"):
        routes(root, "a")


def test_tiers_chains_providers_and_nodes(tmp_path: Path) -> None:
    text = """
    [tiers]
    cheap = ["mine:m", "openai:gpt-5.2"]
    [providers.mine]
    kind = "openai"
    base_url = "http://there/v1"
    key_env = "MINE"
    project = "p"
    concurrency = 3
    price = { input = 1, output = 2 }
    [models."openai:gpt-5.2"]
    price = { input = 5, output = 6 }
    """
    root = write(tmp_path / "w", text, NODES)
    node, mine, gpt = routes(root, "cheap")
    assert (node.spec, node.options["base_url"], node.options["name"]) == (
        "ollama:qwen3:14b",
        "http://box:11434",
        "box:qwen3:14b",
    )
    assert (mine.spec, mine.options["key_env"], mine.options["price"]) == (
        "openai:m",
        "MINE",
        {"input": 1.0, "output": 2.0, "cached": None},
    )
    assert mine.settings.concurrency == 3 and mine.group.startswith("p|")
    assert gpt.options["price"] == {"input": 5.0, "output": 6.0, "cached": None}
    both = routes(root, "nodes:qwen3:14b")
    assert [route.options["name"] for route in both] == ["box:qwen3:14b", "attic:qwen3:14b"]
    assert both[1].options["base_url"] == "http://attic:8000/v1" and both[1].spec == "vllm:qwen3:14b"
    with pytest.raises(ConfigError, match="no node has the model 'qwen3:15b'; did you mean 'qwen3:14b'"):
        routes(root, "nodes:qwen3:15b")


def test_a_tier_may_stand_wherever_a_model_is_named(tmp_path: Path) -> None:
    workspace = Workspace.create(tmp_path / "w")
    write(workspace.root, '[tiers]\ncoding = ["echo:a", "echo:b"]\n')
    opened = models.open_model(workspace, "coding")
    assert opened.name == "coding"


def test_a_model_that_has_ended_is_named_before_anything_is_sent(tmp_path: Path) -> None:
    root = write(tmp_path / "w", '[models."openai:old"]\nends = "2026-01-01"\n')
    with pytest.raises(UsageError, match="switched off on 2026-11-30"):
        refuse_ended(root, "anthropic:claude-sonnet-4-5", today=datetime.date(2026, 12, 1))
    refuse_ended(root, "anthropic:claude-sonnet-4-5", today=datetime.date(2026, 11, 30))
    with pytest.raises(UsageError, match="switched off on 2026-01-01"):
        refuse_ended(root, "openai:old", today=datetime.date(2026, 12, 1))
