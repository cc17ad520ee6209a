"""The pack `story`: references pass, planted wrong answers fail, drafts are checked, the rest is marked as unchecked."""

from __future__ import annotations

from pathlib import Path

import pytest

from afs.domains.story import DOMAIN
from afs.domains.story.canon import Canon, read_canon
from afs.domains.story.check_command import StoryCheckConfig, check_draft
from afs.domains.story.checks import check_text
from afs.errors import AfsError, ConfigError, UsageError

CANON = """
title = "Secrets"
license = "CC-BY-4.0"
source = [{ id = "intro", file = "intro.md" }, { id = "ch2" }]
name = [
  { name = "Farore", aliases = ["the Oracle of Courage"] },
  { name = "Impa" },
  { name = "Eon Abyss", aliases = ["the Abyss"] },
  { name = "Kalyxo" },
]
attribute = [{ name = "home", words = ["home", "lives"] }]
fact = [
  { of = "Farore", attribute = "home", value = "Kalyxo", source = "intro", quote = "Farore lives\\non Kalyxo" },
  { of = "Impa", attribute = "home", value = "Eon Abyss", source = "ch2" },
  { of = "Impa", attribute = "weapon", value = "a spear", source = "ch2" },
  { of = "Farore", attribute = "weapon", value = "a bow", source = "intro" },
]
event = [
  { name = "the seal breaks", source = "intro" },
  { name = "Farore is taken", source = "intro", aliases = ["the kidnapping"] },
  { name = "the last dungeon", source = "ch2" },
]
style = { sentence_words = 12, banned = ["okay"] }
voice = [{ name = "Impa", most_words = 4, banned = ["please"] }]
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("canon")
    (folder / "canon.toml").write_text(CANON)
    (folder / "intro.md").write_text("# Intro\nFarore lives on\nKalyxo, far away.\n")
    return folder / "canon.toml"


@pytest.fixture(scope="module")
def canon(place: Path) -> Canon:
    return read_canon(place)


def test_every_reference_passes_and_every_wrong_answer_fails(place: Path) -> None:
    pack = DOMAIN.configure({"path": str(place)})
    for family in pack.families:
        tasks = list(pack.tasks(family, 3, 12))
        assert len(tasks) >= 2 and len({task.id for task in tasks}) == len(tasks)
        assert tasks == list(pack.tasks(family, 3, 12))
        for task in tasks:
            verdict = DOMAIN.check(task, task.reference)
            assert verdict.ok, (family, task.prompt, task.reference, verdict)
            assert bool(verdict.facts.get("left_to_judges")) is (family == "text")
            for kind, answer in DOMAIN.wrong_answers(task):
                assert DOMAIN.check(task, answer).ok is False, (family, kind, answer, task.reference)
    assert pack.license == "CC-BY-4.0"  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("text", "rules"),
    [
        ("Farore lives on Kalyxo. [intro]", []),
        ("The Oracle of Courage has her home in the Abyss. [intro]", ["contradiction"]),
        ("Farore never lives in the Abyss. [intro]", []),
        ("Farore visits the Abyss. [intro]", []),
        ("Farore visits the home of Impa in the Abyss. [ch2]", []),
        ("Farore lives on Kalyxo. [ch2]", ["citation"]),
        ("Farore lives on Kalyxo. [ch3]", ["citation"]),
        ("Farore lives on Kalyxo.", ["citation"]),
        ("The kidnapping comes before the seal breaks. [intro]", ["order"]),
        ("The kidnapping comes after the seal breaks. [intro]", []),
        ("The last dungeon is not before the kidnapping. [intro]", []),
        ("Okay, all is well. [intro]", ["style"]),
        ("One two three four five six seven eight nine ten eleven twelve thirteen. [intro]", ["style"]),
        ("[intro]\\nImpa: Come with me, please, now.", ["voice", "voice"]),
        ("[intro]\\nFarore: Come with me, please, right now.", []),
    ],
)
def test_a_text_is_checked_against_what_is_declared(canon: Canon, text: str, rules: list[str]) -> None:
    assert [one.rule for one in check_text(canon, text.replace("\\n", "\n"))] == rules


def test_a_draft_is_reported_by_line_with_what_nobody_checked(place: Path, tmp_path: Path) -> None:
    draft = tmp_path / "draft.md"
    draft.write_text("It rains. [intro]\n\nFarore lives in the Abyss.\n")
    report = check_draft(StoryCheckConfig(canon=place, draft=draft))
    assert report.exit_code == 3 and [(one.line, one.rule) for one in report.findings] == [(3, "contradiction")]
    assert "the home of Farore is Kalyxo [intro]" in report.text()
    assert report.text().endswith("1 remark; not checked, for judges: plot, character, prose")
    draft.write_text("It rains.\n")
    assert check_draft(StoryCheckConfig(canon=place, draft=draft, cite=False)).exit_code == 0


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("Farore lives\\\\non Kalyxo", "Farore lives nowhere", "quote does not stand in the source 'intro'"),
        ('value = "a bow", source = "intro"', 'value = "a bow", source = "intra"', "no source 'intra'"),
        ('of = "Impa", attribute = "weapon"', 'of = "Impo", attribute = "weapon"', "no name 'Impo'"),
        ('of = "Impa", attribute = "weapon"', 'of = "Impa", attribute = "home"', "is both 'Eon Abyss' and 'a spear'"),
        ('{ name = "Kalyxo" }', '{ name = "Impa" }', "name 'Impa' stands twice"),
        ("intro.md", "nothing.md", "nothing.md: No such file"),
        ("title", "titel", "unknown field `titel`"),
        ("fact = [", "fact = ", "not TOML"),
    ],
)
def test_a_canon_with_a_fault_is_refused(place: Path, old: str, new: str, message: str) -> None:
    path = place.with_name("other.toml")
    path.write_text(CANON.replace(old.replace("\\\\n", "\\n"), new))
    assert path.read_text() != CANON
    with pytest.raises(AfsError, match=message):
        read_canon(path)


def test_a_canon_is_needed_and_must_exist(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="name the canon"):
        next(DOMAIN.tasks("fact", 0, 1))
    with pytest.raises(UsageError, match="no family 'poem'"):
        next(DOMAIN.tasks("poem", 0, 1))
    with pytest.raises(AfsError, match="No such file"):
        read_canon(tmp_path / "none.toml")
