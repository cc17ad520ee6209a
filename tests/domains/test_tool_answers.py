"""Answers to `tools` tasks in a chat model's words: right but unusual calls pass, wrong but plausible ones fail."""

from __future__ import annotations

import json

import pytest

from afs.domains.tools import DOMAIN
from afs.types import Task

BEFORE = {"docs/a.md": "bow lamp", "src/b.asm": "lamp bow", "notes/c.txt": "key map"}
NEW = {"path": "maps/n.txt", "content": "sword key lamp"}


def build_task(family: str, gone: str = "", **after: str) -> Task:
    kept = {path: text for path, text in BEFORE.items() if path != gone}
    spec = {"before": BEFORE, "after": kept | {path.replace("__", "/"): text for path, text in after.items()}}
    return Task(id="x", domain="tools", family=family, version="3", prompt="", reference="", spec=spec, group="")


WRITE = build_task("write", **{"maps__n.txt": "sword key lamp"})
DELETE = build_task("delete", "docs/a.md")
MOVE = build_task("move", "docs/a.md", **{"gfx__z.md": "bow lamp"})
COPY = build_task("copy", **{"gfx__z.md": "bow lamp"})
RENAME = build_task("steps/rename-word", **{"docs__a.md": "cape lamp", "src__b.asm": "lamp cape"})
MOUNT = build_task("steps/mount", **{".context__mounts": "docs/a.md\nsrc/b.asm\n"})
SWAP = build_task("steps/swap", **{"docs__a.md": "lamp bow", "src__b.asm": "bow lamp"})


def call(name: str, **arguments: str) -> str:
    return f"<tool_call>\n{json.dumps({'name': name, 'arguments': arguments})}\n</tool_call>"


def mark(body: object) -> str:
    return f"<tool_call>{body if isinstance(body, str) else json.dumps(body)}</tool_call>"


RIGHT = call("write_file", **NEW)


@pytest.mark.parametrize(
    ("task", "answer"),
    [
        (WRITE, f"Sure! I will create it.\n{RIGHT}\nDone."),
        (WRITE, f"<think>\nMaybe {call('delete_file', path='docs/a.md')}?\n</think>\n{RIGHT}"),
        (WRITE, call("list_files", folder="./") + RIGHT),
        (WRITE, call("list_files", folder="") + RIGHT),
        (WRITE, RIGHT.replace("maps/n.txt", "./maps/n.txt")),
        (WRITE, mark(json.dumps({"arguments": NEW, "name": "write_file"}, indent=2))),
        (WRITE, RIGHT.removesuffix("\n</tool_call>")),
        (WRITE, mark("\n```json\n" + json.dumps({"name": "write_file", "arguments": NEW}) + "\n```\n")),
        (WRITE, mark({"id": "call_1", "name": "write_file", "arguments": NEW})),
        (WRITE, call("write_file", path=NEW["path"], content="") + call("append_file", **NEW)),
        (DELETE, call("read_file", path="docs/a.md") + call("delete_file", path="docs/a.md")),
        (DELETE, call("ws_find", text="nothing") + call("delete_file", path="docs//a.md")),
        (MOVE, call("write_file", path="gfx/z.md", content="bow lamp") + call("delete_file", path="docs/a.md")),
        (
            COPY,
            call("write_file", path="gfx/z.md", content="x")
            + call("edit_file", path="gfx/z.md", old="x", new="bow lamp"),
        ),
        (
            RENAME,
            call("write_file", path="docs/a.md", content="cape lamp")
            + call("edit_file", path="src/b.asm", old="lamp bow", new="lamp cape"),
        ),
        (MOUNT, call("ctx_mount", path="docs/a.md") + "\n" + call("ctx_mount", path="src/b.asm")),
        (
            SWAP,
            call("write_file", path="docs/a.md", content="lamp bow")
            + call("write_file", path="src/b.asm", content="bow lamp"),
        ),
    ],
)
def test_right_but_unusual_calls_pass(task: Task, answer: str) -> None:
    verdict = DOMAIN.check(task, answer)
    assert verdict.ok, verdict.reason


@pytest.mark.parametrize(
    ("task", "answer"),
    [
        (WRITE, "write_file(path='maps/n.txt', content='sword key lamp')"),
        (WRITE, RIGHT.replace("sword key lamp", "'sword key lamp'")),
        (WRITE, RIGHT.replace("maps/n.txt", "/maps/n.txt")),
        (WRITE, RIGHT.replace("maps/n.txt", "n.txt")),
        (WRITE, RIGHT.replace("sword key lamp", "sword key")),
        (WRITE, RIGHT + call("delete_file", path="maps/n.txt")),
        (WRITE, f"<think>{RIGHT}</think> Done."),
        (WRITE, RIGHT + call("write_file", path="docs/b.md", content="x")),
        (WRITE, call("create_file", **NEW)),
        (WRITE, call("write_file", path=NEW["path"], text=NEW["content"])),
        (WRITE, mark({"name": "write_file", "arguments": json.dumps(NEW)})),
        (WRITE, mark({"name": "write_file", "parameters": NEW})),
        (WRITE, RIGHT[:-20]),
        (DELETE, call("delete_file", path="src/b.asm")),
        (DELETE, call("write_file", path="docs/a.md", content="")),
        (DELETE, call("delete_file", path="docs/A.md")),
        (DELETE, call("move_file", source="docs/a.md", target="trash/a.md")),
        (MOVE, call("write_file", path="gfx/z.md", content="bow lamp")),
        (MOVE, call("move_file", source="docs/a.md", target="gfx/a.md")),
        (COPY, call("move_file", source="docs/a.md", target="gfx/z.md")),
        (COPY, call("write_file", path="gfx/z.md", content="docs/a.md")),
        (RENAME, call("edit_file", path="docs/a.md", old="bow", new="cape")),
        (MOUNT, call("ctx_mount", path="src/b.asm") + call("ctx_mount", path="docs/a.md")),
        (
            MOUNT,
            call("ctx_mount", path="docs/a.md")
            + call("ctx_mount", path="src/b.asm")
            + call("ctx_mount", path="notes/c.txt"),
        ),
        (
            SWAP,
            call("move_file", source="docs/a.md", target="src/b.asm")
            + call("move_file", source="src/b.asm", target="docs/a.md"),
        ),
        (
            SWAP,
            call("move_file", source="docs/a.md", target="tmp/t")
            + call("move_file", source="src/b.asm", target="docs/a.md"),
        ),
    ],
)
def test_wrong_but_plausible_calls_fail(task: Task, answer: str) -> None:
    assert DOMAIN.check(task, answer).ok is False
