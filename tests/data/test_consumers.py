"""Exports as others load them: every chat template that TRL ships, `datasets`, mlx-lm, and the rules of ShareGPT readers."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest
from tests.curate.test_curate import store
from transformers.utils.chat_template_utils import render_jinja_template

from afs import datasets, runs
from afs.data.export import ExportConfig, export_dataset
from afs.errors import RefusedError
from afs.ingest import IngestConfig, ingest
from afs.types import Message, Origin, Record, Tool, ToolCall, record_id
from afs.workspace import Workspace

TOOLS = (
    Tool(
        name="ls",
        description="List a folder.",
        parameters={"type": "object", "properties": {"path": {"type": "string"}}},
    ),
    Tool(name="add", description="Add.", parameters={"type": "object", "properties": {"n": {"type": "integer"}}}),
)
TEMPLATES = sorted((Path(__import__("trl").__file__).parent / "chat_templates").glob("*.jinja"))


def call(key: str, name: str, **arguments: object) -> ToolCall:
    return ToolCall(id=key, name=name, arguments=arguments)


def conversation(number: int, calls: int = 2) -> Record:
    """Calls made at once, their results, and an answer."""
    turns: tuple[Message, ...] = (
        Message(role="user", text=f"what is in {number}?"),
        Message(role="assistant", tool_calls=(call("call00001", "ls", path="."), call("call00002", "add", n=number))),
        Message(role="tool", text="a.txt", tool_call_id="call00001", name="ls"),
        Message(role="tool", text=f"{number}", tool_call_id="call00002", name="add"),
        Message(role="assistant", text=f"One file, and {number}."),
    )
    if calls == 1:
        turns = (turns[0], msgspec.structs.replace(turns[1], tool_calls=turns[1].tool_calls[:1]), turns[2], turns[4])
    key = record_id("general", turns)
    origin = Origin(source="s", license="MIT", group=f"g{number}")
    return Record(id=key, domain="general", kind="tools", messages=turns, tools=TOOLS, origin=origin)


@pytest.fixture
def rows(workspace: Workspace, tmp_path: Path) -> list[dict[str, object]]:
    store(workspace, [conversation(n) for n in range(4)])
    export_dataset(ExportConfig(ref="raw", to=tmp_path / "out"), workspace)
    return [json.loads(line) for line in (tmp_path / "out" / "all.jsonl").read_text().splitlines()]


def template_names() -> list[str]:
    return [path.stem for path in TEMPLATES]


WITHOUT_TOOLS = ("cohere", "gemma_training", "gemma", "gemma3", "gemma3_training", "idefics3", "llava", "smolvlm")
"""Templates that know no tools, by the beginning of their names; they are shown the talk without them."""
WITH_PARTS = ("idefics3", "llava", "smolvlm")
"""Templates of vision models: contents are lists of parts."""
ONE_CALL = ("llama3_1", "llama3_2")
TEXT_ARGUMENTS = ("deepseekv3",)


@pytest.mark.parametrize("name", template_names())
def test_a_chat_template_of_trl_renders_calls_and_results(workspace: Workspace, tmp_path: Path, name: str) -> None:
    store(workspace, [conversation(0, calls=1 if name.startswith(ONE_CALL) else 2)])
    arguments = "text" if name in TEXT_ARGUMENTS else "object"
    export_dataset(ExportConfig(ref="raw", to=tmp_path / "out", options={"arguments": arguments}), workspace)
    row = json.loads((tmp_path / "out" / "all.jsonl").read_text())
    turns, tools = row["messages"], row["tools"]
    if name.startswith(WITHOUT_TOOLS) and not name.startswith("gemma4"):
        turns, tools = [turn for turn in turns if turn["role"] != "tool" and "tool_calls" not in turn], None
    if name.startswith(WITH_PARTS):
        turns = [{"role": turn["role"], "content": [{"type": "text", "text": turn["content"]}]} for turn in turns]
    template = next(path for path in TEMPLATES if path.stem == name).read_text()
    (rendered,), _ = render_jinja_template(
        conversations=[turns], tools=tools, chat_template=template, bos_token="", eos_token=""
    )
    assert "One file, and 0" in rendered
    assert '\\"path\\"' not in rendered, "arguments were written as a string of a string"


def test_datasets_loads_every_row(
    rows: list[dict[str, object]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loader = pytest.importorskip("datasets")
    found = loader.load_dataset("json", data_files=str(tmp_path / "out" / "all.jsonl"), cache_dir=str(tmp_path / "c"))
    (first, *_), wanted = found["train"], rows[0]
    assert first["messages"][1]["tool_calls"][0]["function"]["arguments"] == {"path": "."}
    assert first["tools"] == wanted["tools"]


def test_datasets_loads_calls_of_parquet_as_objects(workspace: Workspace, tmp_path: Path) -> None:
    loader = pytest.importorskip("datasets")
    store(workspace, [conversation(n) for n in range(4)])
    export_dataset(ExportConfig(ref="raw", to=tmp_path / "out", format="hf"), workspace)
    first = loader.load_dataset(str(tmp_path / "out"), cache_dir=str(tmp_path / "c"))["train"][0]
    calls = [call["function"] for call in first["messages"][1]["tool_calls"]]
    assert calls[0]["arguments"] == {"path": "."} and calls[1]["arguments"].keys() == {"n"}
    assert first["tools"][0]["function"]["parameters"]["properties"] == {"path": {"type": "string"}}
    with runs.open_run(workspace, "ingest", config := IngestConfig(
        kind="jsonl", paths=(tmp_path / "out" / "data" / "train-00000-of-00001.parquet",), name="back"
    )) as run:  # fmt: skip
        back = ingest(config, run)
    assert {r.id for r in datasets.read(workspace, back)} == {r.id for r in (conversation(n) for n in range(4))}


def test_results_in_a_row_are_one_observation_and_come_back_apart(workspace: Workspace, tmp_path: Path) -> None:
    records = [conversation(n) for n in range(4)]
    store(workspace, records)
    export_dataset(ExportConfig(ref="raw", format="sharegpt", to=tmp_path / "out"), workspace)
    path = tmp_path / "out" / "all.jsonl"
    for line in path.read_text().splitlines():
        row = json.loads(line)
        speakers = [turn["from"] for turn in row["conversations"]]
        assert speakers == ["human", "function_call", "observation", "gpt"]
        assert all(a != b for a, b in pairwise(speakers))
        assert json.loads(row["tools"])[0]["function"]["name"] == "ls"
    config = IngestConfig(kind="jsonl", paths=(path,), name="back")
    with runs.open_run(workspace, "ingest", config) as run:
        assert list(datasets.read(workspace, ingest(config, run))) == records


def test_a_refused_export_leaves_nothing_and_an_earlier_one_as_it_was(workspace: Workspace, tmp_path: Path) -> None:
    store(workspace, [conversation(n) for n in range(4)])
    target = tmp_path / "deep" / "out"
    with pytest.raises(RefusedError, match="cannot represent every record"):
        export_dataset(ExportConfig(ref="raw", format="alpaca", unfit=False, to=target), workspace)
    assert not target.parent.exists()
    export_dataset(ExportConfig(ref="raw", to=target), workspace)
    before = sorted(path.name for path in target.iterdir())
    with pytest.raises(RefusedError):
        export_dataset(ExportConfig(ref="raw", format="alpaca", unfit=False, to=target), workspace)
    assert sorted(path.name for path in target.iterdir()) == before
    assert [path.name for path in target.parent.iterdir()] == ["out"]
