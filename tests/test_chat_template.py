"""Chat templates: read from a folder as Hugging Face stores them, rendered with generation marks, and bounded."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from afs import chat_template
from afs.chat_template import ChatTemplate, load_template, read_template
from afs.errors import DataError
from afs.types import Json

CHAT: list[Json] = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
MARKED = (
    "{% for m in messages %}{{ m.role }}: {% if m.role == 'assistant' %}"
    "{%- generation -%} {{ m.content }} {%- endgeneration -%}{% else %}{{ m.content }}{% endif %};{% endfor %}"
)


def test_generation_marks_are_blocks_and_strip_space_like_any_other() -> None:
    plain = MARKED.replace("generation", "X").replace("{%- X -%}", "{%- if true -%}").replace("endX", "endif")
    assert ChatTemplate(MARKED, "x").render(CHAT) == ChatTemplate(plain, "x").render(CHAT) == "user: q;assistant: a;"


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        ("chat_template.jinja", "alone", "alone"),
        ("tokenizer_config.json", json.dumps({"chat_template": "one"}), "one"),
        ("tokenizer_config.json", json.dumps({"chat_template": [{"name": "tool_use", "template": "t"},
                                                               {"name": "default", "template": "d"}]}), "d"),
        ("tokenizer_config.json", "{}", ""),
        ("other.json", "{}", ""),
    ],
)  # fmt: skip
def test_where_a_folder_keeps_its_template(tmp_path: Path, name: str, content: str, text: str) -> None:
    (tmp_path / name).write_text(content)
    assert read_template(tmp_path) == text
    assert (load_template(tmp_path) is None) is (text == "")


@pytest.mark.parametrize(
    "config", ["{", "[]", '{"chat_template": 7}', '{"chat_template": [{"name": "default", "template": 7}]}']
)
def test_a_malformed_config_is_one_line(tmp_path: Path, config: str) -> None:
    (tmp_path / "tokenizer_config.json").write_text(config)
    with pytest.raises(DataError, match=r"chat[_ ]template"):
        read_template(tmp_path)


@pytest.mark.parametrize(
    "template",
    [
        "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
        "{% macro f() %}{{ f() }}{{ f() }}{% endmacro %}{{ f() }}",
        "{{ ('a' * 999999999) * 99 }}",
        "{{ messages[0].__class__.__mro__ }}",
        "{{ raise_exception('no system messages here') }}",
        "{% if %}",
    ],
)
def test_a_hostile_or_broken_template_is_an_error_in_time(template: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat_template, "TIMEOUT_S", 0.5)
    with pytest.raises(DataError, match="folder: its chat template cannot be rendered: "):
        ChatTemplate(template, "folder").render(CHAT)


def test_json_is_not_escaped_for_html() -> None:
    assert ChatTemplate("{{ messages[0] | tojson }}", "x").render([{"role": "user", "content": "<é>"}]) == (
        '{"role": "user", "content": "<é>"}'
    )
