"""The embedded llama.cpp: one base, adapters by explicit scale, errors that say what to do."""

from __future__ import annotations

import importlib.util
import os
import signal
import threading
from pathlib import Path
from types import ModuleType

import pytest

from afs.errors import ConfigError, ProviderError, UsageError
from afs.export.adapter_files import open_adapter
from afs.export.gguf_convert import convert
from afs.export.lora_gguf import convert_lora
from afs.export.model_families import model_config
from afs.http import Client
from afs.providers.base import Sampling, provider
from afs.providers.llama import Llama, experts
from afs.providers.loaded_models import LOADED
from afs.types import Message

ASKED = [Message(role="user", text="hello")]
SHORT = Sampling(max_tokens=8)


def builders() -> ModuleType:
    """The builders of tiny models beside the tests of shipping."""
    path = Path(__file__).parents[1] / "export" / "conftest.py"
    spec = importlib.util.spec_from_file_location("tiny_models", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A base and two LoRA GGUFs."""
    place, made = tmp_path_factory.mktemp("llama"), builders()
    folder = made.write_model(place / "model")
    convert(folder, place / "base.gguf", "F16", name="base")
    found = {"base": str(place / "base.gguf")}
    for number, name in enumerate(("din", "nayru"), 1):
        adapter = open_adapter(made.write_adapter(place / name, folder, seed=number))
        convert_lora(adapter, model_config(folder), place / f"{name}.gguf", name=name)
        found[name] = str(place / f"{name}.gguf")
    return found


def adapters(files: dict[str, str]) -> dict[str, str]:
    return {name: path for name, path in files.items() if name != "base"}


def test_every_request_names_every_adapter(files: dict[str, str]) -> None:
    options = {"adapters": adapters(files), "adapter": "nayru", "context": 256, "threads": 1}
    with Llama(files["base"], options) as model:
        assert model.server.lora("nayru") == [{"id": 0, "scale": 0.0}, {"id": 1, "scale": 1.0}]
        assert model.server.lora() == [{"id": 0, "scale": 0.0}, {"id": 1, "scale": 0.0}]
        answer = model.complete(ASKED, SHORT)
        assert answer.model == model.name == "base+nayru"
        assert answer.usage.output_tokens > 0
        assert answer.usage.cost_usd == 0.0


def test_its_port_answers_nobody_else(files: dict[str, str]) -> None:
    with Llama(files["base"], {"context": 256, "threads": 1}) as model:
        stranger = Client(model.server.url, {"host": "evil.example", "origin": "https://evil.example"})
        refused = stranger.post("/v1/chat/completions", b'{"messages": [{"role": "user", "content": "x"}]}')
        stranger.close()
        assert refused.status == 401
        assert refused.headers.get("access-control-allow-origin") != "https://evil.example"
        answer = Client(f"{model.wire().url}", model.wire().headers)
        assert answer.request("GET", "models").status == 200
        answer.close()


def test_a_killed_model_is_started_again(files: dict[str, str]) -> None:
    with Llama(files["base"], {"adapters": adapters(files), "adapter": "din", "context": 256, "threads": 1}) as model:
        before = model.complete(ASKED, SHORT).text
        os.kill(model.server.process.pid, signal.SIGKILL)
        assert model.complete(ASKED, SHORT).text == before
        assert model.server.process.restarts == 1


def test_one_of_two_models_fits_and_both_answer(files: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LOADED, "most", 1)
    bare = {"context": 256, "threads": 1}
    with Llama(files["base"], bare) as first, Llama(files["base"], {**bare, "context": 512}) as second:
        answers = [model.complete(ASKED, SHORT).text for model in (first, second, first)]
        assert answers[0] == answers[2] and first.server._process is not None and second.server._process is None
        lent, _ = second.lend_wire()
        assert lent is not None and first.server._process is None, "an address is lent with its model loaded"
        lent.settle(None)


def test_interleaved_turns_equal_cold_ones(files: dict[str, str]) -> None:
    turns = [[Message(role="user", text=f"{word} " * 3)] for word in ("one", "two", "three")]
    cold: dict[tuple[str, int], str] = {}
    for name in ("din", "nayru"):
        for number, turn in enumerate(turns):
            with Llama(files["base"], {"adapters": adapters(files), "adapter": name, "context": 256}) as model:
                cold[name, number] = model.complete(turn, SHORT).text
    members = {m.name: m for m in experts(files["base"], adapters(files), {"context": 256})}
    for at in range(36):
        name, number = ("din", "nayru")[at % 2], at % 3
        assert members[name].complete(turns[number], SHORT).text == cold[name, number]
    for member in members.values():
        member.close()


def test_experts_asked_at_once_do_not_mix(files: dict[str, str]) -> None:
    options = {"context": 256, "threads": 1}
    members = {member.name: member for member in experts(files["base"], adapters(files), options)}
    alone = {name: member.complete(ASKED, SHORT).text for name, member in members.items()}
    assert len({id(member.server) for member in members.values()}) == 1
    seen: list[tuple[str, str]] = []

    def ask(name: str) -> None:
        seen.extend((name, members[name].complete(ASKED, SHORT).text) for _ in range(4))

    threads = [threading.Thread(target=ask, args=(name,)) for name in members for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 16
    assert all(text == alone[name] for name, text in seen)
    for member in members.values():
        member.close()


def test_switching_an_adapter_off_gives_the_base_back(files: dict[str, str]) -> None:
    with Llama(files["base"], {"context": 256, "threads": 1}) as bare:
        prompt = bare.server.tokens("hello")
        plain = bare.server.next_token(prompt, 20)
    with Llama(files["base"], {"context": 256, "threads": 1, "adapters": adapters(files)}) as model:
        assert model.server.next_token(prompt, 20, "din") != plain
        assert model.server.next_token(prompt, 20) == plain


def test_what_is_wrong_is_said(files: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="did you mean 'din'"):
        Llama(files["base"], {"adapters": adapters(files), "adapter": "dyn"})
    with pytest.raises(UsageError, match="want a GGUF file or a folder with one, found 0"):
        provider(f"llama:{tmp_path}")
    with pytest.raises(ConfigError, match="unknown field"):
        provider(f"llama:{files['base']}", {"contxt": 1})
    torn = tmp_path / "torn.gguf"
    torn.write_bytes(Path(files["base"]).read_bytes()[:5000])
    with pytest.raises(ProviderError, match="cannot load"):
        provider(f"llama:{torn}")
