"""The gateway's own description in OpenAPI 3.1, at `/openapi.json`: what its clients may send, and what comes back.

Fields that only the model's server reads are not listed; they may be sent all the same.
"""

from __future__ import annotations

from typing import Final

from afs.types import Json

_TEXT: Final[Json] = {"type": "string"}
_MODEL: Final[Json] = {"type": "string", "description": "`council`, or an expert's name"}
_STREAM: Final[Json] = {"type": "boolean"}
_TURN: Final[Json] = {
    "type": "object",
    "properties": {"role": {"enum": ["system", "developer", "user", "assistant", "tool"]}, "content": _TEXT},
    "required": ["role", "content"],
}
_TURNS: Final[Json] = {"type": "array", "items": _TURN, "minItems": 1}
_NUMBER: Final[Json] = {"type": "number"}
_COUNT: Final[Json] = {"type": "integer", "minimum": 1}
_AFS: Final[Json] = {
    "type": "object",
    "properties": {
        "verify": {"enum": ["hold", "after", "off"]},
        "deadline_s": {"type": "number", "minimum": 0.1, "maximum": 3600},
        "task": {"type": "object"},
    },
}
_OPTIONS: Final[Json] = {
    "type": "object",
    "properties": {"temperature": {"type": "number", "minimum": 0, "maximum": 2}, "num_predict": _COUNT},
}
_BODIES: Final[dict[str, tuple[dict[str, Json], list[str]]]] = {
    "/v1/chat/completions": (
        {
            "model": _MODEL,
            "messages": _TURNS,
            "stream": _STREAM,
            "temperature": {"type": "number", "minimum": 0, "maximum": 2},
            "top_p": {"type": "number", "exclusiveMinimum": 0, "maximum": 1},
            "max_tokens": _COUNT,
            "max_completion_tokens": _COUNT,
            "seed": {"type": "integer"},
            "stop": {"type": "array", "items": _TEXT},
            "tools": {"type": "array", "items": {"type": "object"}},
            "response_format": {"type": "object"},
            "afs": _AFS,
        },
        ["model", "messages"],
    ),
    "/v1/completions": ({"model": _MODEL, "prompt": _TEXT, "stream": _STREAM, "max_tokens": _COUNT}, ["prompt"]),
    "/v1/responses": ({"model": _MODEL, "input": _TEXT, "instructions": _TEXT, "stream": _STREAM}, ["input"]),
    "/v1/messages": (
        {"model": _MODEL, "messages": _TURNS, "system": _TEXT, "max_tokens": _COUNT, "stream": _STREAM},
        ["messages", "max_tokens"],
    ),
    "/v1/messages/count_tokens": ({"model": _MODEL, "messages": _TURNS, "system": _TEXT}, ["messages"]),
    "/v1/embeddings": ({"model": _MODEL, "input": _TEXT}, ["input"]),
    "/api/chat": ({"model": _MODEL, "messages": _TURNS, "stream": _STREAM, "options": _OPTIONS}, ["model", "messages"]),
    "/api/generate": (
        {"model": _MODEL, "prompt": _TEXT, "system": _TEXT, "stream": _STREAM, "options": _OPTIONS},
        ["model", "prompt"],
    ),
    "/api/show": ({"model": _MODEL}, ["model"]),
    "/v1/feedback": ({"id": _TEXT, "thumb": {"enum": ["up", "down"]}, "note": _TEXT}, ["id", "thumb"]),
}
_ERROR: Final[Json] = {
    "type": "object",
    "properties": {
        "error": {
            "type": "object",
            "properties": {"message": _TEXT, "type": _TEXT},
            "required": ["message", "type", "code", "param"],
        }
    },
    "required": ["error"],
}
_PLAIN_ERROR: Final[Json] = {"type": "object", "properties": {"error": _TEXT}, "required": ["error"]}
_PROBLEM: Final[Json] = {"description": "what is wrong", "content": {"application/json": {"schema": _ERROR}}}


def describe_api() -> Json:
    """The whole description."""
    paths: Json = {
        path: {"post": _post(path, properties, required)} for path, (properties, required) in _BODIES.items()
    }
    name: Json = {"name": "name", "in": "path", "required": True, "schema": _TEXT}
    paths["/v1/models"] = {"get": {"responses": _answers()}}
    paths["/v1/models/{name}"] = {"get": {"parameters": [name], "responses": _answers()}}
    paths["/api/tags"] = {"get": {"responses": _answers()}}
    paths["/api/version"] = {"get": {"responses": _answers()}}
    paths["/health"] = {"get": {"responses": _answers()}}
    paths["/metrics"] = {"get": {"responses": _answers("text/plain")}}
    return {
        "openapi": "3.1.0",
        "info": {"title": "afs council", "version": "1"},
        "paths": paths,
        "components": {"securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}},
    }


def _post(path: str, properties: dict[str, Json], required: list[str]) -> Json:
    schema: Json = {"type": "object", "properties": properties, "required": required}
    body: Json = {"required": True, "content": {"application/json": {"schema": schema}}}
    answers = _answers()
    if path.startswith("/api/"):
        problem: Json = {"description": "what is wrong", "content": {"application/json": {"schema": _PLAIN_ERROR}}}
        content: Json = {"application/json": {}, "application/x-ndjson": {}}
        answers = {"200": {"description": "an answer", "content": content}, "4XX": problem}
    return {"requestBody": body, "responses": answers}


def _answers(kind: str = "application/json") -> Json:
    content: Json = {kind: {}}
    if kind == "application/json":
        content["text/event-stream"] = {}
    return {"200": {"description": "an answer", "content": content}, "4XX": _PROBLEM}
