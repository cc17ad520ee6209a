"""Questions made from code carry what the answer needs, and those that ask for nothing are dropped."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.ingest.test_readers import read

from afs import datasets
from afs.types import Record


def ask(tmp_path: Path, name: str, text: str) -> tuple[list[Record], list[str]]:
    (tmp_path / name).write_text(text)
    records, dropped, _ = read("code", tmp_path)
    return records, [row.reason for row in dropped]


def test_a_method_is_asked_with_its_class_and_what_it_uses(tmp_path: Path) -> None:
    (record,), _ = ask(
        tmp_path,
        "store.py",
        "import os\nimport re\nfrom shutil import move, copy\nLIMIT = 3\nOTHER = 4\n\n"
        "def clean(name: str) -> str:\n    return name.strip()\n\n"
        "class Store(dict):\n    def __init__(self, root):\n        self.root = root\n        self.size = 0\n\n"
        "    @property\n    def free(self) -> int:\n        return 1\n\n"
        "    def put(self, name: str, *, force: bool = False) -> str:\n"
        '        """Move a file into the store unless the limit is reached.\n\n        :param name: its path\n        """\n'
        "        if self.free < LIMIT and not force:\n            raise OSError(name)\n"
        "        return move(name, os.path.join(self.root, clean(name)))\n",
    )
    question = datasets.question_text(record)
    context = question.partition("```python\n")[2].removesuffix("\n```")
    assert question.startswith(
        "Write a Python function `put`: Move a file into the store unless the limit is reached.\n"
    )
    assert context == (
        "import os\nfrom shutil import move\nLIMIT = 3\ndef clean(name: str) -> str: ...\n"
        "class Store(dict):\n    @property\n    def free(self) -> int: ...\n"
        "    def __init__(self, root):\n        self.root = root\n"
        "    def put(self, name: str, *, force: bool=False) -> str: ..."
    )


def test_a_function_in_braces_is_asked_with_its_owner_fields_and_helpers(tmp_path: Path) -> None:
    (record,), _ = ask(
        tmp_path,
        "wheel.rs",
        "use std::io::{self, Read};\nuse std::fmt;\nconst SLOTS: usize = 8;\n\npub struct Wheel {\n    turn: u64,\n"
        "    name: String,\n}\n\nfn slot(turn: u64) -> usize {\n    turn as usize\n}\n\nimpl Wheel {\n"
        "    /// Advances the wheel by some ticks and gives back its new slot.\n"
        "    pub fn advance(&mut self, ticks: u64) -> io::Result<usize> {\n        self.turn += ticks;\n"
        "        Ok(slot(self.turn) % SLOTS)\n    }\n}\n",
    )
    context = datasets.question_text(record).partition("```rust\n")[2].removesuffix("\n```")
    assert context == (
        "const SLOTS: usize = 8;\nfn slot(turn: u64) -> usize;\nstruct Wheel {\n    turn: u64,\n}\n"
        "impl Wheel {\n    pub fn advance(&mut self, ticks: u64) -> io::Result<usize>"
    )


@pytest.mark.parametrize(
    ("doc", "body", "reason"),
    [
        (
            "Called by the loop after every turn.",
            "a = 1\n    b = 2\n    return a + b",
            "documentation asks for nothing",
        ),
        ("Prepares the given work unit.", "a = 1\n    b = 2\n    return a + b", "documentation asks for nothing"),
        ("TODO: think of the other cases too.", "a = 1\n    b = 2\n    return a + b", "documentation asks for nothing"),
        ("Give back the number of open files.", "raise NotImplementedError(\n        1\n    )", "no body of its own"),
        ("Give back the number of open files.", "# a remark\n    # and another\n    return 4", "one line"),
    ],
)
def test_a_function_that_cannot_be_asked_for_is_dropped(tmp_path: Path, doc: str, body: str, reason: str) -> None:
    records, reasons = ask(tmp_path, "a.py", f'def prepare_work(x):\n    """{doc}"""\n    {body}\n')
    assert not records and reasons == [reason]


def test_tests_and_examples_are_left_out_unless_asked_for(tmp_path: Path) -> None:
    (tmp_path / "tests").mkdir()
    text = 'def test_sum():\n    """The sum of two numbers is right."""\n    x = 1 + 1\n    y = 2\n    assert x == y\n'
    records, reasons = ask(tmp_path, "tests/test_sum.py", text)
    assert not records and reasons == ["a test or example"]
    kept, _, _ = read("code", tmp_path, tests=True)
    assert len(kept) == 1


@pytest.mark.parametrize("name", ["t/unit/app.py", "sub/test_sum.py", "conftest.py"])
def test_tests_are_known_by_their_file_too(tmp_path: Path, name: str) -> None:
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    text = 'def add_all(x):\n    """The sum of all numbers from one to the given one."""\n    y = sum(range(x))\n    return y + x\n'
    records, reasons = ask(tmp_path, name, text)
    assert not records and reasons == ["a test or example"]


@pytest.mark.parametrize("used", ["count_", "Pool::Take()"])
def test_a_member_that_the_file_does_not_show_makes_no_question(tmp_path: Path, used: str) -> None:
    text = f"/// Gives the number of files that may still be opened by this process.\nint Left(int most) {{\n  int n = {used};\n  return most - n;\n}}\n"
    records, reasons = ask(tmp_path, "a.cc", text)
    assert not records and reasons == ["needs a name its file does not show"]


def test_a_constant_that_the_file_does_not_show_makes_no_question(tmp_path: Path) -> None:
    text = "/// Gives the largest number of files that may be open at once.\nint Most() {\n  int n = 2;\n  return n * kLimit;\n}\n"
    records, reasons = ask(tmp_path, "a.cc", text)
    assert not records and reasons == ["needs a name its file does not show"]
    records, _ = ask(tmp_path, "a.cc", f"const int kLimit = 4;\n{text}")
    assert len(records) == 1 and "const int kLimit = 4;" in datasets.question_text(records[0])
