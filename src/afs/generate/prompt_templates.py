"""Prompt templates: versioned TOML that says how a task is put to a teacher; the record keeps the task's own question.

A template is a file `NAME.toml` of this package, or a path. An unknown field or placeholder is an error.
"""

from __future__ import annotations

import string
from importlib import resources
from pathlib import Path
from typing import NamedTuple

from afs.config import Config, decode, load_toml
from afs.errors import ConfigError
from afs.plugins import suggest_name
from afs.types import Message, Task, digest

PLACEHOLDERS = ("prompt", "family", "domain", "example_prompt", "example_reference")
_FOLDER = "templates"


class TemplateFile(Config, frozen=True, kw_only=True):
    """The fields of a template file."""

    version: str
    """Version of the template; a changed text needs another one."""
    description: str = ""
    """What it is for."""
    system: str = ""
    """System prompt for the teacher; empty: the task's own."""
    prompt: str = "{prompt}"
    """The question, with placeholders: prompt, family, domain, example_prompt, example_reference."""


class Template(NamedTuple):
    """A template that was read and checked."""

    name: str
    file: TemplateFile

    @property
    def label(self) -> str:
        """Name and version, as records carry it."""
        return f"{self.name}@{self.file.version}"

    @property
    def digest(self) -> str:
        """What identifies its text."""
        return digest((self.name, self.file.system, self.file.prompt))

    @property
    def needs_example(self) -> bool:
        """Whether it shows a solved task."""
        return "{example_" in self.file.prompt

    def messages(self, task: Task, example: Task | None = None) -> tuple[Message, ...]:
        """The question as the teacher reads it."""
        fields = {"prompt": task.prompt, "family": task.family, "domain": task.domain}
        if example is not None:
            fields |= {"example_prompt": example.prompt, "example_reference": example.reference}
        system = self.file.system or task.system
        turns = [Message(role="system", text=system)] if system else []
        return (*turns, Message(role="user", text=self.file.prompt.strip("\n").format_map(fields)))


def template_names() -> list[str]:
    """The templates of the package."""
    folder = resources.files(__package__) / _FOLDER
    return sorted(file.name.removesuffix(".toml") for file in folder.iterdir() if file.name.endswith(".toml"))


def read_template(name: str) -> Template:
    """A template by name or path."""
    if name.endswith(".toml"):
        path = Path(name)
    else:
        if name not in template_names():
            raise ConfigError("template", f"no template is called {name!r}{suggest_name(name, template_names())}")
        path = Path(str(resources.files(__package__) / _FOLDER / f"{name}.toml"))
    file = decode(TemplateFile, load_toml(path), file=str(path))
    try:
        fields = {field for _, field, _, _ in string.Formatter().parse(file.prompt) if field is not None}
    except ValueError as error:
        raise ConfigError("prompt", f"not a template: {error}", file=str(path)) from error
    for field in sorted(fields - set(PLACEHOLDERS)):
        raise ConfigError("prompt", f"unknown placeholder {field!r}{suggest_name(field, PLACEHOLDERS)}", file=str(path))
    if "prompt" not in fields:
        raise ConfigError("prompt", "the placeholder {prompt} is missing", file=str(path))
    return Template(path.stem, file)
