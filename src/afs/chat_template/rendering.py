"""Jinja as Hugging Face sets it up for chat templates; runs in a worker process, because templates are foreign code."""

from __future__ import annotations

import functools
import json
from datetime import datetime

import jinja2
import jinja2.ext
import jinja2.sandbox
import msgspec
from jinja2 import nodes
from jinja2.parser import Parser

_Request = tuple[str, list[dict[str, object]], bool]


class _Generation(jinja2.ext.Extension):  # type: ignore[misc]  # Jinja is not followed by mypy
    """`{% generation %}` marks what a model learns from; for rendering it is a block like any other."""

    tags = {"generation"}

    def parse(self, parser: Parser) -> nodes.Node | list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def render_request(request: bytes) -> bytes:
    """A worker's entry: (template, messages, add_generation_prompt) in, text out."""
    text, messages, prompt = msgspec.json.decode(request, type=_Request)
    rendered: str = _compiled(text).render(
        messages=messages, add_generation_prompt=prompt, bos_token="", eos_token="", tools=None
    )
    return rendered.encode("utf-8", "surrogatepass")


@functools.lru_cache(maxsize=4)
def _compiled(text: str) -> jinja2.Template:
    environment = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, "jinja2.ext.loopcontrols"]
    )
    environment.filters["tojson"] = _to_json
    environment.globals |= {"raise_exception": _raise, "strftime_now": _now}
    return environment.from_string(text)


def _raise(message: str) -> None:
    raise jinja2.TemplateError(message)


def _now(form: str) -> str:
    return datetime.now().strftime(form)


def _to_json(value: object, ensure_ascii: bool = False, indent: int | None = None) -> str:
    """JSON for prompts: unlike Jinja's own filter it escapes nothing for HTML."""
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent)
