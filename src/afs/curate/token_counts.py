"""A record as its model will see it: rendered by the chat template and counted in the tokenizer's own tokens."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Protocol, cast

from afs import artifacts, models, plugins
from afs.chat_template import load_template
from afs.datasets import chat_messages
from afs.errors import AfsError, DataError, UsageError, boundary
from afs.types import Json, Record
from afs.workspace import Workspace


class _Encoding(Protocol):
    ids: list[int]


class _Tokenizer(Protocol):
    def encode(self, text: str, *, add_special_tokens: bool) -> _Encoding: ...


class _TokenizerFactory(Protocol):
    def from_file(self, path: str) -> _Tokenizer: ...


_TOKENIZER = plugins.Late[_TokenizerFactory]("tokenizers:Tokenizer")


class Rendering:
    """The tokenizer and the template of a model folder, a stored model or a hub id."""

    def __init__(self, workspace: Workspace, model: str) -> None:
        folder = Path(model)
        if not folder.is_dir() and models.is_hub_id(model):
            folder = models.download(model)
        elif not folder.is_dir():
            folder = artifacts.folder_of(workspace, artifacts.load(workspace, model))
        path = folder / "tokenizer.json"
        if not path.is_file():
            raise UsageError(f"{folder}: no tokenizer.json in it")
        with boundary(DataError, str(path)):
            self._tokenizer = _TOKENIZER.load().from_file(str(path))
        self._template = load_template(folder)

    def check_record(self, record: Record, most: int) -> str:
        """What is wrong with the rendered record; empty when nothing is."""
        try:
            text = self.render_text(record)
        except AfsError as error:
            return f"template: {error}"
        if self._template is not None and record.messages[-1].text.strip() not in text:
            return "template: the answer is not in the rendered text"
        count = len(self._tokenizer.encode(text, add_special_tokens=False).ids)
        return f"length: {count} tokens, more than {most}" if most and count > most else ""

    def render_text(self, record: Record) -> str:
        """The whole conversation as one text."""
        rows = chat_messages(record)
        if self._template is None:
            return "\n".join(str(row.get("content", "")) for row in rows)
        for row in rows:
            for call in cast("list[Json]", row.get("tool_calls") or []):
                body = cast(Json, call["function"])
                body["arguments"] = json.loads(str(body["arguments"]))
        return self._template.render(rows)
