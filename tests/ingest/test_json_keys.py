"""A key that stands twice in one object is named, by every reader, and by both ways of looking for it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.ingest.test_readers import read

from afs import jsonl
from afs.errors import DataError
from afs.ingest import duplicate_json_keys

VALUES = st.recursive(
    st.none() | st.integers() | st.text(alphabet='a"\\{}[],:é', max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(alphabet='ab"\\,', max_size=3), inner, max_size=4)
    ),
    max_leaves=12,
)


def strict(text: bytes) -> bool:
    try:
        jsonl.loads_strict(text)
    except DataError as error:
        return "appears twice" in str(error)
    return False


@settings(deadline=None)
@given(VALUES, st.booleans())
def test_the_scan_agrees_with_a_strict_decoder(value: object, spaced: bool) -> None:
    text = json.dumps(value, indent=1 if spaced else None).encode()
    assert duplicate_json_keys.find_doubled_key(text) == "" and not strict(text)
    doubled = b'{"k":' + text + b', "l": [1, {"m": "\\\\"}] , "k" : 2}'
    assert duplicate_json_keys.find_doubled_key(doubled) == "key 'k' appears twice in one object" and strict(doubled)


@settings(deadline=None)
@given(st.binary(max_size=40) | st.text(alphabet='{}[]",:\\a', max_size=40).map(str.encode))
def test_what_is_no_json_is_left_to_the_reader(text: bytes) -> None:
    assert bool(duplicate_json_keys.find_doubled_key(text)) == strict(text)


def test_many_keys_and_deep_objects_are_checked_too() -> None:
    wide = json.dumps({f"k{n}": n for n in range(3000)})
    deep = "[" * 80 + '{"a":1,"a":2}' + "]" * 80
    assert duplicate_json_keys.find_doubled_key(wide.encode()) == ""
    assert "appears twice" in duplicate_json_keys.find_doubled_key((wide[:-1] + ',"k7":1}').encode())
    assert "appears twice" in duplicate_json_keys.find_doubled_key(deep.encode())


LINES = {
    "jsonl": '{"instruction":"a","output":"b","output":"c"}',
    "chats": '{"messages":[{"role":"user","content":"a","content":"b"}]}',
    "claude-code": '{"type":"user","uuid":"1","message":{"role":"user","content":"a","content":"b"}}',
    "codex": '{"type":"response_item","payload":{"type":"message","role":"user","role":"user"}}',
    "gemini": '{"id":"u","type":"user","content":"a","content":"b"}',
    "afs-history": '{"id":"1","id":"2"}',
    "toolbench": '{"query":"a","query":"b"}',
    "codesearchnet": '{"code":"a","code":"b"}',
    "qwen": '{"uuid":"1","type":"user","type":"user"}',
    "openhands": '[{"id":0,"id":1}]',
    "swe-agent": '{"trajectory":[],"trajectory":[]}',
    "antigravity-cli": '{"type":"user","type":"user"}',
    "copilot": '{"requests":[],"requests":[]}',
}
NAMES = {"openhands": "a.json", "swe-agent": "a.traj", "copilot": "a.json", "gemini": "session-1.jsonl"}


@pytest.mark.parametrize("kind", LINES)
def test_every_reader_names_a_doubled_key(tmp_path: Path, kind: str) -> None:
    path = tmp_path / NAMES.get(kind, "a.jsonl")
    path.write_text(LINES[kind] + "\n")
    records, _, reading = read(kind, path)
    assert not records
    assert any("appears twice in one object" in row.problem for row in reading.unreadable)
