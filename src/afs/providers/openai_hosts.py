"""Servers that speak OpenAI's chat completions under names of their own: OpenRouter, LM Studio, vLLM."""

from __future__ import annotations

from afs.providers.endpoint import Endpoint, secret
from afs.providers.openai import OpenAI, optional_key


class OpenRouter(OpenAI):
    """`openrouter:deepseek/deepseek-r1`: many models behind one key; every answer states its cost."""

    kind = "openrouter"
    base = "https://openrouter.ai/api/v1"
    key_env = "OPENROUTER_API_KEY"
    length_field = "max_tokens"
    priced_as = "openrouter"

    def _headers(self, place: Endpoint) -> dict[str, str]:
        """Referer and title are how OpenRouter names the calling program in its lists."""
        named = {"http-referer": "https://github.com/scawful/afs", "x-title": "afs"}
        return {
            "authorization": f"Bearer {secret(place.key_env or self.key_env, 'OpenRouter')}",
            **named,
            **place.headers,
        }


class LmStudio(OpenAI):
    """`lmstudio:MODEL`: LM Studio on this machine or on a node."""

    kind = "lmstudio"
    base = "http://127.0.0.1:1234/v1"
    key_env = "LM_API_TOKEN"
    models_path = ""
    length_field = "max_tokens"
    own_machine = True

    def _headers(self, place: Endpoint) -> dict[str, str]:
        return {**optional_key(place.key_env or self.key_env), **place.headers}


class Vllm(LmStudio):
    """`vllm:MODEL`: vLLM, llama-server, or any other server of one's own with OpenAI's API."""

    kind = "vllm"
    base = "http://127.0.0.1:8000/v1"
    key_env = "VLLM_API_KEY"
