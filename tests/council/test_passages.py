"""Hylia: passages of documents and records found by their words, answers that cite them, citations checked."""

from __future__ import annotations

from pathlib import Path

import pytest

from afs import datasets
from afs.council.citations import check_citations, prompt_with_passages, quote_answer
from afs.council.passages import Passage, PassageIndex, read_documents, split_text
from afs.errors import DataError
from afs.types import Message, Origin, Record, record_id
from afs.workspace import Workspace

NOTES = """# Save file

The save slot lies at $7E0044 and holds 16 bytes. A checksum follows.

# Doors

Door 12 opens with the small key. It closes after 90 frames.

## Colors

The palette of the cave is loaded in V-blank.
"""


def test_a_passage_has_its_heading_and_its_line() -> None:
    found = list(split_text(NOTES, "n.md"))
    assert [(one.source, one.heading) for one in found] == [
        ("n.md:3", "Save file"), ("n.md:7", "Doors"), ("n.md:11", "Colors"),
    ]  # fmt: skip
    long = "\n\n".join("word " * 70 for _ in range(5))
    assert len(list(split_text(long, "l"))) == 3


def test_the_passage_with_the_words_comes_first(tmp_path: Path, workspace: Workspace) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/notes.md").write_text(NOTES)
    (tmp_path / "docs/picture.png").write_bytes(b"\x89PNG")
    messages = (Message(role="user", text="Which tool builds the ROM?"), Message(role="assistant", text="make all"))
    record = Record(
        id=record_id("chat", messages), domain="chat", kind="log", messages=messages, origin=Origin(source="me")
    )
    with datasets.write_dataset(workspace, "log", "records") as pending:
        pending.add("all", record)
    index = PassageIndex(read_documents([str(tmp_path / "docs"), "log"], workspace))
    assert index.rank("Where is the save slot?")[0][0].heading == "Save file"
    assert index.rank("what is at $7E0044")[0][0].heading == "Save file"
    assert index.rank("when do doors close")[0][0].heading == "Doors"
    assert index.rank("which tool builds the ROM")[0][0].source.startswith("log@1 ")
    assert index.rank("zebra") == []
    with pytest.raises(DataError, match="neither a file"):
        read_documents(["nowhere"], workspace)


def test_an_answer_without_a_model_quotes_and_its_citations_hold() -> None:
    passages = [
        one for one, _ in PassageIndex(split_text(NOTES, "n.md")).rank("Where is the save slot and its checksum?")
    ]
    answer = quote_answer("Where is the save slot and its checksum?", passages)
    assert "$7E0044 and holds 16 bytes [1]." in answer
    check = check_citations(answer, passages)
    assert check.cited == check.holding > 0 and check.text().startswith("✔")


def test_wrong_citations_are_named() -> None:
    passages = [Passage(source="a", heading="Save", text="The save slot lies at $7E0044 and holds 16 bytes.")]
    assert check_citations("The slot lies at $7E0044 [1].", passages).problems == ()
    assert "$7E0045 is not in [1]" in check_citations("The slot lies at $7E0045 [1].", passages).text()
    assert "no passage [2]" in check_citations("The slot holds 16 bytes [2].", passages).text()
    assert "does not say" in check_citations("Link swims faster with flippers on [1].", passages).text()
    assert check_citations("The slot lies somewhere.", passages).text() == "▹ no passage is cited"


def test_the_prompt_holds_question_and_numbered_passages() -> None:
    prompt = prompt_with_passages("Where?", [Passage(source="a:1", heading="Save", text="At $7E0044.")])
    assert "[1] Save (a:1)\nAt $7E0044." in prompt and prompt.endswith("Question: Where?")
