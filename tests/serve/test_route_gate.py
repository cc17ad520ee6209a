"""Whether routing is worth it: two specialists, a router that knows them, and one that mixes them up."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence

import msgspec
import pytest

from afs import plugins, verbs
from afs.council.council_setup import open_chooser
from afs.council.end_to_end import TaskAnswer, compare_members, judge_router
from afs.council.llm_router import LlmRouter, read_classified
from afs.council.router_store import newest_router
from afs.errors import DataError, ProviderError, RefusedError
from afs.generate import GenerateConfig
from afs.providers.base import GREEDY, Sampling
from afs.registry import Registry
from afs.registry.promotion_gate import load_report
from afs.serve import RouteEvalConfig, RouteTrainConfig
from afs.serve.route_gate import EndToEndMeasured
from afs.types import Artifact, Completion, Expert, Interval, Message, Tool, Usage
from afs.workspace import CouncilSettings, Workspace

FAMILIES = {"adder": "add", "sorter": "sort"}


class Specialist:
    """Knows the sums of one family, for a cent an answer; `base` knows none."""

    def __init__(self, model: str, options: Mapping[str, object] = {}) -> None:
        self.name = self.model = model

    def complete(
        self, messages: Sequence[Message], sampling: Sampling = GREEDY, tools: Sequence[Tool] = ()
    ) -> Completion:
        word, *numbers = messages[-1].text.split()
        found = [int(number) for number in numbers if number.isdigit()]
        knows = word == FAMILIES.get(self.model)
        right = str(sum(found)) if word == "add" else " ".join(map(str, sorted(found)))
        usage = Usage(output_tokens=1, cost_usd=0.01)
        return Completion(text=right if knows else "I do not know", model=self.model, usage=usage)


@pytest.fixture
def council(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """Two experts with a base, and 12 tasks of each."""
    monkeypatch.setitem(plugins.TABLES["provider"], "special", "specialists:Specialist")
    monkeypatch.setitem(sys.modules, "specialists", sys.modules[__name__])
    served = {name: f"special:{name}" for name in FAMILIES}
    settings = CouncilSettings(served_by=served, fallback="special:base")
    workspace.settings = msgspec.structs.replace(workspace.settings, council=settings, jobs=1)
    families = [{"family": family, "count": 12} for family in FAMILIES.values()]
    table = {"domain": "sums", "name": "asks", "families": families}
    verbs.do("generate", msgspec.convert(table, GenerateConfig), workspace)
    return workspace


def duties(*, swapped: bool = False) -> list[dict[str, object]]:
    names = list(FAMILIES)[::-1] if swapped else list(FAMILIES)
    return [
        {"expert": name, "source": "asks", "families": [family]}
        for name, family in zip(names, FAMILIES.values(), strict=True)
    ]


def train(workspace: Workspace, name: str, *, swapped: bool = False) -> Artifact:
    made = verbs.do(
        "route train",
        msgspec.convert({"name": name, "duties": duties(swapped=swapped)}, RouteTrainConfig),
        workspace,
    )
    assert isinstance(made, Artifact)
    return made


def measure(workspace: Workspace, router: str = "") -> EndToEndMeasured:
    config = msgspec.convert({"router": router, "duties": duties(), "end_to_end": True}, RouteEvalConfig)
    found = verbs.do("route eval", config, workspace)
    assert isinstance(found, EndToEndMeasured)
    return found


def test_a_router_that_knows_its_experts_passes_and_one_that_loses_is_not_promoted(council: Workspace) -> None:
    good = train(council, "good")
    measured = measure(council)
    found = measured.found
    assert measured.router == good.ref and found.passed and found.tasks == 24
    assert found.score["council"].value == 1.0 and found.score[found.best].value == 0.5
    gap = found.difference[f"score:{found.best}"]
    assert gap.low is not None and gap.low > 0.2 and found.score["base"].value == 0.0
    assert found.per_dollar["council"].value == pytest.approx(100.0), "a right answer a cent"
    assert "gate passed" in measured.text() and "council - base, score: +100.0%" in measured.text()
    bad = train(council, "bad", swapped=True)
    assert newest_router(council) == bad.ref
    lost = measure(council)
    assert lost.router == bad.ref and not lost.found.passed and "may lose to" in lost.found.reason
    assert newest_router(council) == good.ref, "a router that lost is not the newest that counts"
    registry = Registry(council)
    for artifact in (good, bad):
        registry.register(artifact.ref.partition("@")[0], artifact.ref)
    with pytest.raises(RefusedError, match="may lose to"):
        _promote(council, "bad", lost.report)
    _promote(council, "good", measured.report)
    chooser = open_chooser(council, "good")
    assert chooser is not None and chooser.choose("add 1 2")[0].label == "adder"


def _promote(workspace: Workspace, name: str, report: str) -> None:
    Registry(workspace).promote(name, gate=load_report(workspace, report))


def answers(scores: Mapping[str, Sequence[float | None]], seconds: float = 1.0) -> list[TaskAnswer]:
    return [
        TaskAnswer(task=str(at), member=member, expert=member, score=score, seconds=seconds, cost_usd=None)
        for member, row in scores.items()
        for at, score in enumerate(row)
    ]


def test_what_the_check_cannot_decide_is_left_out_for_everyone_and_no_price_is_unknown() -> None:
    rows = {"council": [1, 1, None, 1], "din": [1, 0, 1, 1], "base": [0, 0, 0, None]}
    found = compare_members(answers(rows))
    assert found.tasks == 2 and found.unchecked == 2 and found.score["council"].n == 2
    assert found.per_dollar["council"].value is None and found.difference["per_dollar:din"].value is None
    with pytest.raises(DataError, match="want at least 2"):
        compare_members(answers({"council": [1, None], "din": [1, 1]}))


def test_a_tie_is_no_loss_and_an_uncertain_loss_is_one() -> None:
    tie = Interval(value=0.0, low=-0.01, high=0.02, n=400)
    unsure = Interval(value=0.01, low=-0.08, high=0.1, n=20)
    assert judge_router({"din": tie}, "din", 0.02)[0]
    assert not judge_router({"din": tie, "base": unsure}, "din", 0.02)[0]


class Classifier:
    """A model that says one line."""

    name = "fast"

    def __init__(self, said: str) -> None:
        self.said, self.asked = said, list[tuple[Sequence[Message], Sampling]]()

    def complete(
        self, messages: Sequence[Message], sampling: Sampling = GREEDY, tools: Sequence[Tool] = ()
    ) -> Completion:
        self.asked.append((messages, sampling))
        if self.said == "down":
            raise ProviderError("it is down")
        return Completion(text=self.said, model="m")


MEMBERS = [
    Expert(name="din", model="d", tags=("optimize",)),
    Expert(name="nayru", model="n"),
    Expert(name="v", model="v"),
]


def test_a_language_model_routes_by_json() -> None:
    model = Classifier('Sure: {"experts": ["nayru", "ganon", "nayru"], "confidence": 0.9} as asked')
    router = LlmRouter(model, MEMBERS)
    choices = router.choose("write it")
    assert choices[0].label == "nayru" and choices[0].probability == 0.9
    assert not router.abstains(choices) and router.several(choices) == ["nayru"]
    router.choose("write it")
    ((turns, sampling),) = model.asked
    assert "din: optimize" in turns[0].text and sampling.schema is not None, "asked once, with a schema"
    both = LlmRouter(Classifier('{"experts": ["v", "din"], "confidence": 0.8}'), MEMBERS)
    assert set(both.several(both.choose("x"))) == {"v", "din"}


@pytest.mark.parametrize("said", ["down", "no idea", '{"experts": "din"}', '{"experts": ["ganon"], "confidence": 1}'])
def test_a_language_model_that_says_nothing_usable_abstains(said: str) -> None:
    router = LlmRouter(Classifier(said), MEMBERS)
    choices = router.choose("?")
    assert len(choices) == 3 and router.abstains(choices)
    assert read_classified('{"experts": ["din"], "confidence": 7}', ["din"]).confidence == 0.0


def test_the_setting_names_a_tier_or_a_model(council: Workspace) -> None:
    chooser = open_chooser(council, "llm:special:base", MEMBERS)
    assert chooser is not None and chooser.abstains(chooser.choose("add 1 2"))
