"""Skeletons and programs under other names: both engines agree, copies share a skeleton, other programs stay apart."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from afs.curate import skeletons
from afs.curate.alpha_equivalence import are_same_program
from afs.curate.code_normalization import parse
from afs.curate.decontaminate import pack_texts
from afs.curate.minhash_kernel import kernel

PYTHON = '''def read_rows(path, limit=10):
    """Read some rows."""
    # the header first
    rows = []
    for line in open(path):
        if len(rows) < limit:
            rows.append(line.strip('x'))
    return rows
'''
CPP = """int Count(const Slice& key, int start) {
  // walk over it
  int total = start;
  for (int i = 0; i < key.size(); i++) {
    total += key[i];  /* a byte */
  }
  return total;
}
"""
ASM = "wait:\n    lda $4212   ; status\n    and #$80\n    beq wait\n    sta $10\n    rts\n"


def find(text: str, monkeypatch: pytest.MonkeyPatch | None = None) -> int:
    return int(skeletons.find_skeletons(*pack_texts([text]))[0])


@settings(max_examples=150, deadline=None)
@given(st.lists(st.text(alphabet="ab_Z9 =(),;:.#/*\"'\n\t-><é\\|", max_size=60), max_size=6), st.booleans())
def test_both_engines_agree(pieces: list[str], code: bool) -> None:
    if kernel() is None:
        pytest.skip("no C compiler here")
    data, starts = pack_texts([*pieces, PYTHON + "".join(pieces), "".join(pieces) + CPP] if code else pieces)
    by_kernel = skeletons.find_skeletons(data, starts)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(skeletons, "kernel", lambda: None)
        assert (skeletons.find_skeletons(data, starts) == by_kernel).all()


COPIES = [
    (PYTHON, re.sub(r"\brows\b", "found", PYTHON).replace("line", "entry")),
    (PYTHON, PYTHON.replace("# the header first", "# unless it is empty, then nothing")),
    (PYTHON, PYTHON.replace("'x'", '"x"').replace("    ", "  ")),
    (PYTHON, PYTHON.replace('    """Read some rows."""\n', "")),
    (CPP, CPP.replace("total", "sum_of_bytes").replace("{\n", "\n{\n")),
    (CPP, CPP.replace("// walk over it", "").replace("/* a byte */", "// add it")),
    (ASM, ASM.replace("wait", "again").replace("; status", "; the flags")),
]
OTHERS = [
    (PYTHON, PYTHON.replace("strip", "rstrip")),
    (PYTHON, PYTHON.replace("limit=10", "limit=20")),
    (PYTHON, PYTHON.replace("read_rows", "write_rows")),
    (PYTHON, PYTHON.replace("len(rows) <", "len(rows) >")),
    (PYTHON, PYTHON.replace("    return rows", "        return rows")),
    (CPP, CPP.replace("key[i]", "key[start]")),
    (CPP, CPP.replace("i < key.size(); i++", "i < key.size(); i--")),
    (CPP, CPP.replace("start", "end").replace("total", "tail")),
    (ASM, ASM.replace("$4212", "$4210")),
    (ASM, ASM.replace("and", "ora")),
]


@pytest.mark.parametrize(("a", "b"), COPIES)
def test_a_copy_has_the_skeleton_and_is_the_same_program(a: str, b: str) -> None:
    assert a != b
    assert find(a) == find(b) != 0
    assert are_same_program(parse(a), parse(b)) and are_same_program(parse(b), parse(a))


@pytest.mark.parametrize(("a", "b"), OTHERS)
def test_another_program_is_not_the_same(a: str, b: str) -> None:
    assert a != b
    assert not are_same_program(parse(a), parse(b)) and not are_same_program(parse(b), parse(a))


def test_a_function_the_question_names_is_not_renamed() -> None:
    other = PYTHON.replace("read_rows", "take_rows")
    assert are_same_program(parse(PYTHON), parse(other))
    assert find(PYTHON) == find(other)
    assert not are_same_program(parse(f"Write `read_rows`.\n{PYTHON}"), parse(f"Write `take_rows`.\n{other}"))


def test_short_texts_have_no_skeleton() -> None:
    assert find("x = 1") == 0
    assert np.array_equal(skeletons.find_skeletons(*pack_texts([])), np.zeros(0, np.uint64))
