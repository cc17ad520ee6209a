"""Classifiers by `afs train`: both forms, an adapter on top, the same again, and what cannot be trained on."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import msgspec
import pytest
from tests.train.conftest import config, run_train, stopping_at, store, sums

from afs import artifacts, council
from afs.domains.tools import DOMAIN as TOOLS
from afs.errors import ConfigError, DataError, RefusedError
from afs.serve import RouteEvalConfig, route_eval
from afs.serve.router_commands import Duty
from afs.train.classify import keyword_examples, label_of
from afs.train.settings import Classify
from afs.types import Artifact, Origin, Record, record_id
from afs.workspace import Workspace

LABELS = {"first": "reader", "say": "reader", "tools": "operator"}
HEAD = {"method": "classify", "dataset": "mixed", "shape": {}, "classify": {"labels": LABELS}}


def tools(count: int) -> Iterator[Record]:
    """Questions of the pack `tools`."""
    for family in (name for name in TOOLS.families if "/" not in name):
        for task in TOOLS.tasks(family, 0, count):
            (one,) = sums("first", 1)
            messages = tuple(
                msgspec.structs.replace(m, text=task.prompt) if m.role == "user" else m for m in one.messages
            )
            origin = Origin(source="tools", license="CC0-1.0", group=f"{family}#{task.group}")
            yield Record(
                id=record_id("tools", messages),
                domain="tools",
                kind=family,
                messages=messages,
                origin=origin,
                task=task,
            )


@pytest.fixture
def mixed(place: Workspace) -> Workspace:
    """Questions of two packs."""
    store(place, "mixed", [*sums("first", 15), *sums("say", 15), *tools(5)])
    return place


def router_of(workspace: Workspace, artifact: Artifact) -> council.Router:
    found = council.open_router(workspace, artifact.ref)
    assert found is not None
    return found


def test_a_light_head_is_a_router_and_the_same_every_time(mixed: Workspace) -> None:
    made, again = run_train(mixed, **HEAD), run_train(mixed, **HEAD, name="again")
    assert (made.form, made.base, made.dataset) == ("router", "", "mixed@1")
    assert [f.sha256 for f in made.files] == [f.sha256 for f in again.files]
    router = router_of(mixed, made)
    assert router.choose("first of 9 8 7 6")[0].label == "reader"
    assert router.choose("Delete every file in docs.")[0].label == "operator"
    figures = router.card.figures
    assert figures is not None and figures.accuracy.n == 60
    assert figures.accuracy.value is not None and figures.accuracy.value > 0.9
    assert sum(figures.confusion["(nobody)"].values()) == 100
    assert router.card.off_topic.value is not None and router.card.off_topic.value >= 0.94
    assert router.abstains(router.choose("How do I boil an egg?"))


@pytest.mark.train
def test_a_head_on_a_model_s_hidden_state(mixed: Workspace) -> None:
    made = run_train(mixed, **HEAD, base="base")
    assert (made.form, made.base, made.parents[-1]) == ("router", "base@1", "artifact:base@1")
    router = router_of(mixed, made)
    assert router.card.form == "model"
    assert router.choose("say 3 1 4")[0].label == "reader"
    assert router.explain("say 3 1 4")
    with pytest.raises(DataError, match="open it by its name"):
        council.load_router(artifacts.folder_of(mixed, made))


@pytest.mark.train
def test_an_adapter_first_and_stopped_it_goes_on_to_the_same_files(mixed: Workspace) -> None:
    adapted = {**HEAD, "base": "base", "lora": {"rank": 4, "alpha": 8}, "epochs": 1, "max_length": 256}
    adapted["classify"] = {"labels": LABELS, "adapt": True}
    whole = run_train(mixed, **adapted, name="whole")
    stopping_at(mixed, 3, **adapted, name="halves")
    halves = run_train(mixed, **adapted, name="halves")
    assert {f.path for f in halves.files} >= {"adapter_model.safetensors", "router.json", "router.npz"}
    assert {f.path: f.sha256 for f in halves.files} == {f.path: f.sha256 for f in whole.files}
    assert router_of(mixed, halves).choose("first of 1 2 3")[0].label == "reader"


@pytest.mark.parametrize(
    ("changes", "error", "told"),
    [
        ({"classify": {"labels": {"first": "reader"}}}, DataError, "at least two labels, got reader"),
        ({"classify": {"adapt": True}}, ConfigError, "needs a base model"),
    ],
)
def test_what_cannot_be_told_apart_is_refused(
    mixed: Workspace, changes: dict[str, object], error: type[Exception], told: str
) -> None:
    with pytest.raises(error, match=told):
        run_train(mixed, **{**HEAD, **changes})


def test_the_same_question_on_both_sides_is_refused(place: Workspace) -> None:
    both = list(sums("first", 5))
    store(place, "leaky", both, both)
    with pytest.raises(RefusedError, match="also in the training split"):
        run_train(place, **{**HEAD, "dataset": "leaky"})


def test_labels_by_the_most_exact_name_and_keywords_by_the_roster() -> None:
    (one,) = sums("say", 1)
    assert label_of(one, Classify()) == "say"
    assert label_of(one, Classify(labels={"sums": "a", "say": "b", "sums/say": "c"})) == "c"
    assert label_of(one, Classify(labels={"other": "a"})) == ""
    weak = keyword_examples(Classify(keywords="triforce"), {"optimize", "majora"})
    assert dict(zip(weak.texts, weak.labels, strict=True))["tighten"] == "optimize"
    assert set(weak.labels) == {"optimize", "majora"}


def test_figures_on_questions_it_never_saw(mixed: Workspace, heard: Callable[..., list]) -> None:  # type: ignore[type-arg]
    run_train(mixed, **HEAD, name="router")
    store(mixed, "later", [*sums("first", 25), *sums("largest", 20, seed=3)])
    duties = (
        Duty(expert="reader", source="later", families=("first",)),
        Duty(expert="stranger", source="later", families=("largest",)),
    )
    found = route_eval(RouteEvalConfig(router="router", duties=duties), mixed)
    assert found.seen == 15, "what it was trained on is left out"
    assert found.figures.accuracy.n == 10 and found.figures.accuracy.value == 1.0
    assert found.off_topic.n == 20, "an expert it does not know is nobody"
    assert "(abstains)" in found.text() or found.off_topic.value == 0
    assert json.loads(msgspec.json.encode(found))["figures"]["by_label"]["reader"]["n"] == 10
    seen = (Duty(expert="reader", source="mixed", families=("say",)),)
    with pytest.raises(DataError, match="trained on all of them"):
        route_eval(RouteEvalConfig(router="router", duties=seen), mixed)


def test_the_config_reads_from_toml_names() -> None:
    assert config(method="classify", classify={"labels": {"a": "b"}}).classify.labels == {"a": "b"}
