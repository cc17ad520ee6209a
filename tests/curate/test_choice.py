"""Mixing and choosing: sums are exact, shortfalls are said, the greedy choice is a greedy choice."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.curate.test_curate import solved, store, story, take, talk

from afs import datasets
from afs.curate.coreset import Graph, Select, choose_greedily, embed_texts, find_neighbors
from afs.curate.mixture import Mix, Share
from afs.data import report
from afs.errors import ConfigError, RefusedError
from afs.types import Record, Score
from afs.workspace import Workspace


def measure_coverage(graph: Graph, chosen: Sequence[int]) -> float:
    """Mean likeness of every item to its nearest chosen one."""
    flags = np.zeros(len(graph.near), bool)
    flags[list(chosen)] = True
    return float(np.where(flags[graph.near], graph.similarity, 0.0).max(axis=1).mean())


SHARES = (
    {"name": "expert", "share": 60, "match": {"source": ["expert"]}},
    {"name": "general", "share": 25, "match": {"source": ["general"]}},
    {"name": "synthetic", "share": 15},
)


def of(source: str, n: int) -> list[Record]:
    made = [talk(f"{source} question {i}", f"{source} answer {i} " * 5, f"{source}{i}") for i in range(n)]
    return [msgspec.structs.replace(r, origin=msgspec.structs.replace(r.origin, source=source)) for r in made]


def sources(workspace: Workspace, name: str = "set") -> dict[str, int]:
    counts: dict[str, int] = {}
    for r in datasets.read(workspace, datasets.load(workspace, name)):
        counts[r.origin.source] = counts.get(r.origin.source, 0) + 1
    return counts


def test_sixty_twentyfive_fifteen_is_exact(workspace: Workspace) -> None:
    store(workspace, of("expert", 300) + of("general", 50) + of("made", 100))
    take(workspace, steps=({"use": "mix", "shares": SHARES},))
    assert sources(workspace) == {"expert": 121, "general": 50, "made": 30}
    take(workspace, steps=({"use": "mix", "shares": SHARES, "total": 100},))
    assert sources(workspace) == {"expert": 60, "general": 25, "made": 15}


def test_a_shortfall_is_said_or_refused(workspace: Workspace) -> None:
    store(workspace, of("expert", 30) + of("general", 50) + of("made", 100))
    made = take(workspace, steps=({"use": "mix", "shares": SHARES, "total": 100},))
    note = story(workspace, made).notes["mix"]
    assert note["shortfall"] == "30 more of expert (source expert)"
    assert made.counts["shortfall:expert"] == 30
    assert sum(int(str(row["given"])) for row in note["shares"]) == 70  # type: ignore[union-attr,index,attr-defined]
    with pytest.raises(RefusedError, match="30 more of expert"):
        take(workspace, steps=({"use": "mix", "shares": SHARES, "total": 100, "missing": "refuse"},))


def test_a_share_inside_of_another_says_all_that_would_fill_it(workspace: Workspace) -> None:
    store(workspace, of("expert", 30) + of("general", 50))
    parts = ({"name": "chat", "share": 1, "match": {"kind": ["chat", "pair"]}}, {"name": "other", "share": 1})
    shares = ({"name": "e", "share": 1, "match": {"source": ["expert"]}, "parts": parts}, {"name": "g", "share": 1})
    made = take(workspace, steps=({"use": "mix", "shares": shares, "total": 80},))
    assert story(workspace, made).notes["mix"]["shortfall"] == "20 more of e/other (source expert)"
    page = report.render_report(workspace, made, 1)
    assert "<h2>Mixture</h2>" in page and "e/other" in page


@pytest.mark.parametrize("weights", [(0, 0), (2, -1)])
def test_shares_that_are_no_weights_are_refused(workspace: Workspace, weights: tuple[int, ...]) -> None:
    store(workspace, of("expert", 30))
    shares = tuple({"name": f"s{n}", "share": weight} for n, weight in enumerate(weights))
    with pytest.raises(ConfigError, match="at least one above zero"):
        take(workspace, steps=({"use": "mix", "shares": shares},))


def test_caps_and_what_another_expert_used(workspace: Workspace) -> None:
    store(workspace, of("expert", 30) + of("general", 50))
    take(workspace, name="first", steps=({"use": "mix", "total": 20},))
    take(workspace, name="second", steps=({"use": "mix", "without": ["first"], "per_source": 25},))
    first, second = ({r.id for r in datasets.read(workspace, datasets.load(workspace, n))} for n in ("first", "second"))
    assert len(first) == 20 and not first & second
    assert max(sources(workspace, "second").values()) <= 25
    with pytest.raises(ConfigError, match="no field 'sorce'"):
        take(workspace, steps=({"use": "mix", "shares": ({"name": "a", "share": 1, "match": {"sorce": ["x"]}},)},))


def test_nothing_is_used_for_two_experts_unless_it_is_said(workspace: Workspace) -> None:
    store(workspace, of("expert", 200))

    def train(name: str, **mix: object) -> set[str]:
        made = take(workspace, name=name, steps=({"use": "mix", **mix},))
        return {r.id for r in datasets.read(workspace, made, "train")}

    din = train("din-sft", expert="din", total=80)
    assert not din & train("nayru-sft", expert="nayru", total=80)
    assert train("din-sft", expert="din", total=80) == din, "an expert's own dataset is made again as it was"
    assert din & train("nayru-sft", expert="nayru", total=80, again=["din"])


def test_rehearsal_takes_the_training_side_of_another_dataset(workspace: Workspace) -> None:
    store(workspace, of("old", 100), name="oldraw")
    take(workspace, sources=("oldraw",), name="old", steps=({"use": "validate"},))
    held = {r.id for s in ("val", "test") for r in datasets.read(workspace, datasets.load(workspace, "old"), s)}
    store(workspace, of("new", 100))
    shares = (
        {"name": "rehearsal", "share": 10, "match": {"set": ["old@1"]}},
        {"name": "new", "share": 90},
    )
    made = take(workspace, sources=("raw", "old"), steps=({"use": "mix", "shares": shares, "total": 50},))
    assert sources(workspace) == {"old": 5, "new": 45}
    assert not held & {r.id for r in datasets.read(workspace, made)}


TREE = st.recursive(
    st.builds(dict, share=st.integers(1, 50)),
    lambda inner: st.builds(
        lambda share, parts: {"share": share, "parts": parts},
        st.integers(1, 50),
        st.lists(inner, min_size=1, max_size=4),
    ),
    max_leaves=12,
)


def tree(node: dict[str, object], name: str = "x") -> Share:
    parts = node.get("parts", [])
    assert isinstance(parts, list)
    return Share(
        name=name, share=float(str(node["share"])), parts=tuple(tree(p, f"{name}{i}") for i, p in enumerate(parts))
    )


@settings(max_examples=40, deadline=None)
@given(st.lists(TREE, min_size=1, max_size=4), st.integers(0, 5000))
def test_every_level_of_a_tree_adds_up(nodes: list[dict[str, object]], total: int) -> None:
    shares = tuple(tree(node, f"s{i}") for i, node in enumerate(nodes))
    assert sum(n for _, n in Mix(shares=shares).allocate_leaves(total)) == total


def scored(record: Record, value: float) -> Record:
    return msgspec.structs.replace(record, scores=(Score(id="total", version="1", value=value),))


@pytest.mark.parametrize("arm", ["coverage", "random", "longest"])
def test_every_arm_keeps_the_held_out_sides(workspace: Workspace, arm: str) -> None:
    records = solved(100)
    store(workspace, records)
    whole = take(workspace, name="whole", steps=({"use": "validate"},))
    made = take(workspace, steps=({"use": "select", "n": 20, "arm": arm},))
    assert datasets.find_split(made, "train").count == 20
    for side in ("val", "test"):
        assert datasets.find_split(made, side).count == datasets.find_split(whole, side).count


def test_longest_is_longest_and_random_is_stable() -> None:
    pool = [talk(f"q{i}", "x" * (i * 7 % 50 + 1)) for i in range(50)]
    chosen = [len(pool[i].messages[-1].text) for i in Select(n=5, arm="longest").choose(pool)]
    assert chosen == sorted((len(r.messages[-1].text) for r in pool), reverse=True)[:5]
    picks = {pool[i].id for i in Select(n=10, arm="random").choose(pool)}
    again = pool[::-1]
    assert picks == {again[i].id for i in Select(n=10, arm="random").choose(again)}


def test_coverage_takes_one_of_each_topic_and_the_better_of_two() -> None:
    topics = [
        f"about {w} " * 6 + f"{w} works like {w} and {w}" for w in ("dma", "palette", "sprites", "joypad", "mode7")
    ]
    pool = [scored(talk(f"{t} {i}", f"{t} version {i}"), 0.9 if i == 3 else 0.5) for t in topics for i in range(8)]
    chosen = Select(n=5, entity_weight=0.0, neighbors=8).choose(pool)
    assert sorted(i // 8 for i in chosen) == [0, 1, 2, 3, 4]
    assert all(i % 8 == 3 for i in chosen)


def test_the_lazy_choice_is_the_greedy_choice() -> None:
    rng = np.random.default_rng(4)
    points = rng.normal(size=(40, 8)).astype(np.float32)
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    graph = find_neighbors(points, 10)
    quality = rng.uniform(0.2, 1, 40).astype(np.float32)
    chosen = choose_greedily(graph, quality, 6, [frozenset[str]()] * 40, (0.0, 1))
    dense = np.zeros((40, 40))
    for i, (near, like) in enumerate(zip(graph.near, graph.similarity, strict=True)):
        dense[i, near] = like * quality[near]
    best: list[int] = []
    for _ in range(6):
        worth = [dense[:, [*best, j]].max(axis=1).sum() if j not in best else -1 for j in range(40)]
        best.append(int(np.argmax(worth)))
    assert chosen == best


def test_coverage_of_everything_is_whole() -> None:
    words = [" ".join(p) for p in itertools.permutations(["sprite", "room", "tile", "door"], 3)]
    graph = find_neighbors(embed_texts(words), 5)
    assert isinstance(graph, Graph)
    assert measure_coverage(graph, range(len(words))) == pytest.approx(1.0, abs=1e-5)
    assert measure_coverage(graph, random.Random(1).sample(range(len(words)), 3)) < 1.0
