"""Answers to `story` tasks in a chat model's words: right but unusual ones pass, wrong but plausible ones fail."""

from __future__ import annotations

import msgspec
import pytest

from afs.domains.story import DOMAIN
from afs.domains.story.canon import Canon, CanonFact
from afs.domains.story.families import StorySpec, build_task

CANON = msgspec.convert(
    {
        "title": "The Drowned Crown",
        "source": [{"id": one} for one in ("ch1", "ch2", "ch3")],
        "name": [
            {"name": "Ruto", "aliases": ["the Sage of Water"]},
            {"name": "Impa"},
            {"name": "Zelda"},
            {"name": "Zora's Domain", "aliases": ["the Domain"]},
            {"name": "Hyrule"},
            {"name": "Hyrule Castle"},
        ],
        "attribute": [{"name": "home", "words": ["home", "lives", "lived", "live"]}, {"name": "weapon"}],
        "fact": [
            {"of": "Ruto", "attribute": "home", "value": "Zora's Domain", "source": "ch1"},
            {"of": "Zelda", "attribute": "home", "value": "Hyrule Castle", "source": "ch2"},
            {"of": "Impa", "attribute": "home", "value": "Hyrule", "source": "ch2"},
            {"of": "Impa", "attribute": "weapon", "value": "the long spear", "source": "ch3"},
            {"of": "Zelda", "attribute": "weapon", "value": "a bow", "source": "ch3"},
        ],
        "event": [
            {"name": "the flood", "source": "ch1"},
            {"name": "the second flood", "source": "ch1"},
            {"name": "the siege", "aliases": ["the attack on the castle"], "source": "ch2"},
            {"name": "the wedding", "source": "ch3"},
        ],
    },
    Canon,
)
FACTS = {(one.of, one.attribute): one for one in CANON.fact}


def judge(family: str, answer: str, **spec: object) -> bool | None:
    task = build_task(family, "", "", StorySpec(canon=CANON, **spec), "")  # type: ignore[arg-type]
    return DOMAIN.check(task, answer).ok


RUTO, ZELDA, IMPA, SPEAR = (
    FACTS[key] for key in (("Ruto", "home"), ("Zelda", "home"), ("Impa", "home"), ("Impa", "weapon"))
)


@pytest.mark.parametrize(
    ("fact", "answer", "is_right"),
    [
        (RUTO, "Ruto\u2019s home is Zora\u2019s Domain [ch1].", True),
        (RUTO, "**Zora's Domain** [ch1]", True),
        (RUTO, "According to [ch1], the Sage of Water lives in the Domain.", True),
        (RUTO, "Her home is Zora's\nDomain. [ch1]", True),
        (RUTO, "Ruto lives in Zora's Domain, not in Hyrule Castle [ch1].", True),
        (RUTO, "Unlike Zelda, Ruto lives in Zora's Domain [ch1].", True),
        (ZELDA, "The home of Zelda is Hyrule Castle. [ch2]", True),
        (ZELDA, "Zelda lives in Hyrule Castle, which is in Hyrule [ch2].", True),
        (IMPA, "Impa's home is Hyrule, rather than Hyrule Castle. [ch2]", True),
        (SPEAR, "Impa wields a long spear [ch3].", True),
        (SPEAR, "Her weapon: long spear [ch3]", True),
        (RUTO, "The home of Ruto is not Zora's Domain [ch1].", False),
        (RUTO, "Ruto has never lived in Zora's Domain [ch1].", False),
        (RUTO, "Ruto's home is Hyrule Castle, not Zora's Domain [ch1].", False),
        (RUTO, "The home of Impa is Zora's Domain [ch1].", False),
        (RUTO, "Ruto lives in Zora's Domain [ch1] or in Hyrule [ch1].", False),
        (RUTO, "Ruto lives in Zora's Domain. (ch1)", False),
        (RUTO, "Ruto lives in Zora's Domain [ch1]. The weapon of Impa is a bow.", False),
        (ZELDA, "Zelda lives in Hyrule [ch2].", False),
        (IMPA, "Impa lives in Hyrule Castle [ch2].", False),
        (SPEAR, "Impa's weapon is a spear [ch3].", False),
    ],
)
def test_a_fact(fact: CanonFact, answer: str, is_right: bool) -> None:
    assert judge("fact", answer, fact=fact) is is_right


EVENTS = ("the flood", "the second flood", "the siege", "the wedding")


@pytest.mark.parametrize(
    ("answer", "is_right"),
    [
        ("1. The flood\n2. The second flood\n3. The siege\n4. The wedding", True),
        ("the flood < the second flood < the siege < the wedding", True),
        ("The flood, the second flood, the attack on the castle, the wedding", True),
        ("Here is the order:\n\n- the flood [ch1]\n- the second flood [ch1]\n- the siege\n- the wedding", True),
        ("- the flood\n- the second flood\n- the siege\n- the wedding\n\nSo the wedding comes after the siege.", True),
        ("flood\nsecond flood\nsiege\nwedding", True),
        ("the wedding, the siege, the second flood, the flood", False),
        ("the second flood -> the flood -> the siege -> the wedding", False),
        ("- the flood\n- the siege\n- the second flood\n- the wedding", False),
        ("- the flood\n- the second flood\n- the wedding", False),
        ("- the flood\n- the second flood\n- the siege\n- the wedding\n- the flood", False),
        ("- the flood [ch9]\n- the second flood\n- the siege\n- the wedding", False),
    ],
)
def test_an_order_of_events(answer: str, is_right: bool) -> None:
    assert judge("order", answer, events=EVENTS) is is_right


@pytest.mark.parametrize(
    ("wrong", "answer", "is_right"),
    [
        (2, "Sentence 2: the home of Ruto is Zora's Domain [ch1].", True),
        (2, "**2.** The home of Ruto is Zora's Domain [ch1].", True),
        (2, "The answer is 2. Ruto lives in Zora's Domain. [ch1]", True),
        (2, "2 contradicts it: Ruto lives in Zora's Domain, not in Hyrule Castle [ch1].", True),
        (2, "#2 - Zora's Domain is her home [ch1]", True),
        (0, "None of these sentences contradicts the canon.", True),
        (0, "`none`", True),
        (0, "None of them.", True),
        (2, "3. The home of Ruto is Zora's Domain [ch1].", False),
        (2, "2. The home of Ruto is Hyrule Castle [ch2].", False),
        (2, "2 or 3: the home of Ruto is Zora's Domain [ch1].", False),
        (2, "2. The home of Ruto is not Zora's Domain [ch1].", False),
        (2, "none", False),
        (0, "None but 2: the home of Ruto is Zora's Domain [ch1].", False),
        (0, "None except the second.", False),
        (0, "Sentence 1.", False),
    ],
)
def test_a_contradiction(wrong: int, answer: str, is_right: bool) -> None:
    assert judge("contradiction", answer, fact=RUTO if wrong else None, wrong=wrong) is is_right


@pytest.mark.parametrize(
    ("answer", "is_right"),
    [
        ("Impa lives in Hyrule [ch2]. She trusts one weapon: the long spear [ch3].", True),
        ("Impa's weapon is a long spear and it never leaves her [ch3].", True),
        ("Impa walks by night. With her long spear she guards the road [ch3].", True),
        ("Impa does not fear the dark; her home is Hyrule [ch2].", True),
        ("Impa lives in Hyrule. Her weapon is the long spear. [ch2] [ch3]", True),
        ("Impa walks in the rain and sings [ch2].", False),
        ("Impa [ch2]", False),
        ("Never one to rest, Impa lives in Hyrule Castle, with her long spear [ch2].", False),
        ("Impa lives in Hyrule [ch2]. Her past is dark.\n\nThe weapon of Impa is the long spear.", False),
        ("After the siege came the flood, and Impa lives in Hyrule still [ch2].", False),
        ("Impa lives in Hyrule [ch2]. Before the second flood, the wedding had been held.", False),
        ("Impa lives in Hyrule [ch1].", False),
    ],
)
def test_a_passage(answer: str, is_right: bool) -> None:
    assert judge("text", answer, about="Impa") is is_right


def _spec(**spec: object) -> dict[str, object]:
    return spec


@pytest.mark.parametrize(
    ("family", "spec", "answer", "is_right"),
    [
        ("fact", _spec(fact=RUTO), "Zora's Domain is where Ruto lives [ch1].", True),
        ("fact", _spec(fact=RUTO), "In The Drowned Crown, the home of Ruto is _Zora's Domain_. [ch1]", True),
        ("fact", _spec(fact=RUTO), "Ruto: Zora's Domain ([ch1])", True),
        ("fact", _spec(fact=RUTO), "Ruto's home is ZORA'S DOMAIN [ch1]", True),
        ("fact", _spec(fact=RUTO), "Ruto doesn't live in Hyrule; her home is Zora's Domain [ch1].", True),
        ("fact", _spec(fact=RUTO), "The canon gives Zora's Domain as the home of Ruto [ch1] [ch1].", True),
        ("fact", _spec(fact=ZELDA), "Zelda's home? Hyrule Castle [ch2].", True),
        ("fact", _spec(fact=ZELDA), "Princess Zelda resides at Hyrule Castle [ch2], the seat of Hyrule.", True),
        ("fact", _spec(fact=SPEAR), "The weapon of Impa is the long spear [ch3]!", True),
        (
            "fact",
            _spec(fact=SPEAR),
            "Impa fights with her long spear, while Zelda prefers a different weapon [ch3].",
            True,
        ),
        ("fact", _spec(fact=RUTO), "Zora's Domain isn't Ruto's home [ch1].", False),
        ("fact", _spec(fact=RUTO), "It is not known whether Ruto lives in Zora's Domain [ch1].", False),
        ("fact", _spec(fact=RUTO), "Ruto lives in Zora's Domain [ch1][ch2].", False),
        ("fact", _spec(fact=ZELDA), "Zelda left Hyrule Castle and lives with Ruto in Zora's Domain [ch2].", False),
        ("fact", _spec(fact=ZELDA), "Impa lives in Hyrule Castle [ch2].", False),
        ("fact", _spec(fact=ZELDA), "Zelda lives in Castle Hyrule [ch2].", False),
        ("fact", _spec(fact=SPEAR), "Impa's weapon is either the long spear or a bow [ch3].", False),
        ("fact", _spec(fact=SPEAR), "Impa's weapon was the long spear [ch1].", False),
        ("fact", _spec(fact=SPEAR), "Nobody knows; perhaps the long spear.", False),
        (
            "order",
            _spec(events=EVENTS),
            "First came the flood, then the second flood, then the siege, and finally the wedding.",
            True,
        ),
        ("order", _spec(events=EVENTS), "a) the flood\nb) the second flood\nc) the siege\nd) the wedding", True),
        (
            "order",
            _spec(events=EVENTS),
            "1) The flood\n2) The second flood\n3) The attack on the castle\n4) The wedding",
            True,
        ),
        (
            "order",
            _spec(events=EVENTS),
            "* **the flood**\n* **the second flood**\n* **the siege**\n* **the wedding**",
            True,
        ),
        ("order", _spec(events=EVENTS), "the wedding\nthe siege\nthe second flood\nthe flood", False),
        ("order", _spec(events=EVENTS), "1. the flood\n2. the siege\n3. the wedding\n4. the second flood", False),
        ("order", _spec(events=EVENTS), "the flood\nthe flood\nthe siege\nthe wedding", False),
        ("order", _spec(events=EVENTS), "The events are already in order.", False),
        ("contradiction", _spec(fact=RUTO, wrong=2), "2: Ruto's home is Zora's Domain. [ch1]", True),
        ("contradiction", _spec(fact=RUTO, wrong=2), "Number 2. In fact, Ruto lives in Zora's Domain [ch1].", True),
        ("contradiction", _spec(fact=RUTO, wrong=2), "The second sentence: Ruto lives in Zora's Domain [ch1].", True),
        (
            "contradiction",
            _spec(fact=RUTO, wrong=2),
            "2. The home of Ruto is Zora's Domain instead of Hyrule Castle [ch1].",
            True,
        ),
        ("contradiction", _spec(wrong=0), "There are no contradictions.", True),
        ("contradiction", _spec(wrong=0), "None; all of the sentences agree with the canon.", True),
        ("contradiction", _spec(fact=RUTO, wrong=2), "1. The home of Zelda is Hyrule Castle [ch2].", False),
        ("contradiction", _spec(fact=RUTO, wrong=2), "2. [ch1]", False),
        ("contradiction", _spec(fact=RUTO, wrong=2), "Sentences 2 and 3: Ruto lives in Zora's Domain [ch1].", False),
        ("contradiction", _spec(wrong=0), "4. The home of Impa is Hyrule [ch2].", False),
        ("contradiction", _spec(wrong=0), "All of them.", False),
        (
            "text",
            _spec(about="Impa"),
            "Impa guards the crown.\nAt dusk she returns to Hyrule [ch2] and cleans the long spear [ch3].",
            True,
        ),
        ("text", _spec(about="Impa"), "\u201cMy home is Hyrule,\u201d said Impa [ch2].", True),
        ("text", _spec(about="Impa"), "Impa lived in Hyrule long before the siege [ch2].", True),
        ("text", _spec(about="Impa"), "Impa never used any weapon but the long spear [ch3].", True),
        ("text", _spec(about="Impa"), "Impa, whose weapon is a bow, keeps to Hyrule [ch2].", False),
        ("text", _spec(about="Impa"), "The home of Impa is Zora's Domain, far from Hyrule Castle [ch2].", False),
        ("text", _spec(about="Impa"), "Impa's home is Hyrule.", False),
        ("text", _spec(about="Impa"), "Impa's home is Hyrule [ch4].", False),
        ("text", _spec(about="Impa"), "She lives in Hyrule [ch2].", False),
    ],
)
def test_a_second_set_of_answers(family: str, spec: dict[str, object], answer: str, is_right: bool) -> None:
    assert judge(family, answer, **spec) is is_right
