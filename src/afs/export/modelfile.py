"""The Modelfile: base or adapter, template, system prompt, parameters, stop tokens; nothing is left to be guessed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from afs.errors import RefusedError
from afs.export.model_families import read_json
from afs.export.parity import render
from afs.types import Message


class Style(NamedTuple):
    """One way of writing chats, as Ollama's template and as a rule of our own to recognize it by."""

    go: str
    turn: str
    opening: str
    stops: tuple[str, ...]


STYLES: Mapping[str, Style] = {
    "chatml": Style(
        go="{{ range .Messages }}<|im_start|>{{ .Role }}\n{{ .Content }}<|im_end|>\n{{ end }}<|im_start|>assistant\n",
        turn="<|im_start|>{role}\n{text}<|im_end|>\n",
        opening="<|im_start|>assistant\n",
        stops=("<|im_end|>", "<|endoftext|>"),
    ),
    "llama3": Style(
        go=(
            "{{ range .Messages }}<|start_header_id|>{{ .Role }}<|end_header_id|>\n\n{{ .Content }}<|eot_id|>{{ end }}"
            "<|start_header_id|>assistant<|end_header_id|>\n\n"
        ),
        turn="<|start_header_id|>{role}<|end_header_id|>\n\n{text}<|eot_id|>",
        opening="<|start_header_id|>assistant<|end_header_id|>\n\n",
        stops=("<|eot_id|>", "<|end_of_text|>"),
    ),
}
_CANARY = (
    Message(role="system", text="Be brief."),
    Message(role="user", text="One?"),
    Message(role="assistant", text="Two."),
    Message(role="user", text="Three?"),
)


class Deployment(NamedTuple):
    """What a deployed model is to be."""

    name: str
    system: str
    temperature: float
    context: int
    style: Style
    probes: tuple[str, ...] = ()
    """What the smoke test asks beside its own questions."""

    @property
    def parameters(self) -> dict[str, object]:
        """Ollama's parameters."""
        stops = list(self.style.stops)
        return {"temperature": self.temperature, "num_ctx": self.context, "stop": stops}


def chat_style(folder: Path) -> Style:
    """The style whose rendering is that of the folder's own template; an unknown one is refused."""
    rendered = render(folder, _CANARY)
    for style in STYLES.values():
        if rendered.endswith(write_chat_template(style, _CANARY)):
            return style
    raise RefusedError(
        f"{folder}: its chat template is none of {', '.join(STYLES)}; Ollama would guess, so nothing is deployed"
    )


def write_chat_template(style: Style, chat: Sequence[Message]) -> str:
    """A chat as the style writes it."""
    turns = "".join(style.turn.replace("{role}", m.role).replace("{text}", m.text) for m in chat)
    return turns + style.opening


def with_known_stops(style: Style, folder: Path) -> Style:
    """The style with the stops that the tokenizer really has."""
    table = read_json(folder / "tokenizer.json")
    named = {entry["content"] for entry in table.get("added_tokens", [])} | set(table["model"]["vocab"])
    return style._replace(stops=tuple(stop for stop in style.stops if stop in named))


def modelfile(deployment: Deployment, source: str, adapter: str = "") -> str:
    """The text of the Modelfile."""
    lines = [f"FROM {source}"]
    if adapter:
        lines.append(f"ADAPTER {adapter}")
    lines.append(f"TEMPLATE {quote(deployment.style.go)}")
    if deployment.system:
        lines.append(f"SYSTEM {quote(deployment.system)}")
    for name, value in deployment.parameters.items():
        for one in value if isinstance(value, list) else [value]:
            lines.append(f"PARAMETER {name} " + (f'"{one}"' if isinstance(one, str) else f"{one:g}"))
    return "\n".join(lines) + "\n"


def quote(text: str) -> str:
    if '"""' in text:
        raise RefusedError('a text with """ cannot stand in a Modelfile')
    return f'"""{text}"""'
