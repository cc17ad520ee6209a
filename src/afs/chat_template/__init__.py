"""The one loader of chat templates: the text a model folder holds, and its rendering under limits.

Templates come with foreign models. They are rendered as Hugging Face renders them, generation marks included, in a
worker process: a template that loops or eats memory is a DataError, not a hang.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from pathlib import Path

import msgspec

from afs import plugins
from afs.errors import DataError
from afs.process import Worker
from afs.types import Json

__all__ = ["ChatTemplate", "load_template", "read_template"]

TIMEOUT_S = 10.0
"""Longest rendering; long conversations take milliseconds."""
MEMORY_MB = 1024
"""Address space of the worker: an interpreter with Jinja takes about 100 MB."""
_RENDERING = "afs.chat_template.rendering:render_request"


class ChatTemplate:
    """A template that was read; `place` names it in errors."""

    def __init__(self, text: str, place: str) -> None:
        plugins.load(_RENDERING)  # says which extra is missing before the first chat is rendered
        self.text, self.place = text, place
        self._worker = Worker(_RENDERING, memory_mb=MEMORY_MB)
        weakref.finalize(self, self._worker.close)

    def render(self, messages: Sequence[Json], *, add_generation_prompt: bool = False) -> str:
        """The conversation as the model sees it."""
        request = msgspec.json.encode((self.text, list(messages), add_generation_prompt))
        outcome = self._worker.call(request, TIMEOUT_S)
        if outcome.problem:
            raise DataError(f"{self.place}: its chat template cannot be rendered: {outcome.problem}")
        return outcome.value.decode("utf-8", "surrogatepass")


def load_template(folder: Path) -> ChatTemplate | None:
    """The template of a model folder; None when it has none."""
    text = read_template(folder)
    return ChatTemplate(text, str(folder)) if text else None


def read_template(folder: Path) -> str:
    """The text of a folder's template as it is stored; empty when there is none."""
    alone, config = folder / "chat_template.jinja", folder / "tokenizer_config.json"
    try:
        if alone.is_file():
            return alone.read_text("utf-8")
        table = msgspec.json.decode(config.read_bytes(), type=dict[str, object]) if config.is_file() else {}
    except (OSError, UnicodeDecodeError, msgspec.DecodeError) as error:
        raise DataError(f"{folder}: its chat template cannot be read: {error}") from error
    value = table.get("chat_template") or ""
    if isinstance(value, list):  # several named templates: the default one is used for chats without tools
        named = {str(row.get("name")): row.get("template") for row in value if isinstance(row, dict)}
        value = named.get("default") or ""
    if not isinstance(value, str):
        raise DataError(f"{config}: chat_template: want text, got {type(value).__name__}")
    return value
