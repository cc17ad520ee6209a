"""Deploying to real HTTP servers that speak Ollama's and LM Studio's API, answered by a real llama.cpp, and to folders."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import msgspec
import numpy as np
import pytest
from safetensors.numpy import load_file

from afs import artifacts, runs
from afs.cli.main import main
from afs.errors import AfsError, MissingError, ProviderError, RefusedError, UsageError
from afs.export import ShipConfig, ship, ship_lmstudio, ship_ollama
from afs.export.modelfile import STYLES, Deployment, chat_style, modelfile, with_known_stops, write_chat_template
from afs.export.parity import render
from afs.providers.base import Sampling, provider
from afs.providers.llama import Llama
from afs.registry import Registry
from afs.registry.deploy_gate import refuse_ungated
from afs.registry.registry_commands import RollbackConfig, rollback
from afs.types import Artifact, Message
from afs.workspace import Workspace


class FakeHost(ThreadingHTTPServer):
    """What both servers share: models by name, calls that were made, and how to misbehave."""

    def __init__(self, handler: type[BaseHTTPRequestHandler], folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), handler)
        self.folder = folder
        self.models: dict[str, dict] = {}
        self.calls: list[str] = []
        self.answer = ""
        self.imposter = ""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def say(self, file: Path, messages: list[dict], context: int = 256) -> str:
        """A real answer by the file's own template."""
        if self.answer:
            return self.answer
        chat = [Message(role=row["role"], text=row["content"]) for row in messages]
        with Llama(str(file), {"context": context, "threads": 1}) as model:
            return model.complete(chat, Sampling(max_tokens=8)).text or "."


class Handler(BaseHTTPRequestHandler):
    """JSON in and out."""

    server: FakeHost

    def log_message(self, *_: object) -> None:
        return

    def body(self) -> dict:
        raw = self.rfile.read(int(self.headers.get("content-length", 0)))
        return msgspec.json.decode(raw) if raw else {}

    def reply(self, value: object, status: int = 200) -> None:
        content = msgspec.json.encode(value)
        self.send_response(status)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)


class OllamaHandler(Handler):
    """Version, tags, blobs, create, copy, delete, show, chat."""

    def do_HEAD(self) -> None:
        self.reply({}, 200 if (self.server.folder / self.path.rpartition("/")[2].replace(":", "-")).exists() else 404)

    def do_GET(self) -> None:
        if self.path == "/api/version":
            self.reply({"version": "0.13.0"})
        else:
            self.reply({"models": [{"name": f"{name}:latest"} for name in self.server.models]})

    def do_POST(self) -> None:
        self.server.calls.append(self.path.partition("sha256")[0])
        if self.path.startswith("/api/blobs/"):
            self.blob(self.path.rpartition("/")[2])
            return
        body = self.body()
        getattr(self, "on_" + self.path.rpartition("/")[2])(body)

    def blob(self, name: str) -> None:
        content = self.rfile.read(int(self.headers["content-length"]))
        if f"sha256:{hashlib.sha256(content).hexdigest()}" != name:
            self.reply({"error": "digest mismatch"}, 400)
            return
        (self.server.folder / name.replace(":", "-")).write_bytes(content)
        self.reply({}, 201)

    def on_create(self, body: dict) -> None:
        for digest in body["files"].values():
            if not (self.server.folder / digest.replace(":", "-")).exists():
                self.reply({"error": f"blob {digest} not found"}, 400)
                return
        self.server.models[body["model"]] = body
        self.reply({"status": "success"})

    def on_copy(self, body: dict) -> None:
        self.server.models[body["destination"]] = self.server.models[body["source"]]
        self.reply({})

    def do_DELETE(self) -> None:
        self.server.models.pop(self.body()["model"])
        self.reply({})

    def on_show(self, body: dict) -> None:
        self.reply({"template": self.server.models[body["model"]]["template"]})

    def on_chat(self, body: dict) -> None:
        model = self.server.models[body["model"]]
        blob = next(iter(model["files"].values())).replace(":", "-")
        text = self.server.say(self.server.folder / blob, body["messages"])
        name = self.server.imposter or f"{body['model']}:latest"
        self.reply({"model": name, "message": {"role": "assistant", "content": text}})


class LmStudioHandler(Handler):
    """Models found in the folder, load and unload with the documented fields only, chat with the loaded copy."""

    known = ("model", "context_length")

    def do_GET(self) -> None:
        rows = []
        for path in self.server.folder.glob("*/*/*.gguf"):
            key = f"{path.parent.parent.name}/{path.stem}"
            loaded = [{"id": name, "config": {}} for name, row in self.server.models.items() if row["model"] == key]
            rows.append({"key": key, "type": "llm", "loaded_instances": loaded})
        self.reply({"models": rows})

    def do_POST(self) -> None:
        self.server.calls.append(self.path)
        getattr(self, "on_" + self.path.rpartition("/")[2])(self.body())

    def on_load(self, body: dict) -> None:
        unknown = [key for key in body if key not in self.known]
        if unknown:
            self.reply({"error": {"message": f"Unrecognized key(s) in object: '{unknown[0]}'"}}, 400)
            return
        copies = sum(row["model"] == body["model"] for row in self.server.models.values())
        instance = body["model"] if not copies else f"{body['model']}:{copies + 1}"
        name = body["model"].rpartition("/")[2]
        content = next(self.server.folder.glob(f"*/{name}/{name}.gguf")).read_bytes()
        self.server.models[instance] = {**body, "sha": hashlib.sha256(content).hexdigest()}
        self.reply({"type": "llm", "instance_id": instance, "load_time_seconds": 0.1, "status": "loaded"})

    def on_unload(self, body: dict) -> None:
        self.server.models.pop(body["instance_id"])
        self.reply({"instance_id": body["instance_id"]})

    def on_completions(self, body: dict) -> None:
        if body["model"] not in self.server.models:
            self.reply({"error": "model not loaded"}, 404)
            return
        name = body["model"].rpartition("/")[2]
        text = self.server.say(next(self.server.folder.glob(f"*/{name}/{name}.gguf")), body["messages"])
        message = {"role": "assistant", "content": text}
        self.reply({"model": self.server.imposter or body["model"], "choices": [{"message": message}]})


@contextmanager
def serving(handler: type[Handler], folder: Path) -> Iterator[FakeHost]:
    """A server in a thread."""
    folder.mkdir(parents=True, exist_ok=True)
    host = FakeHost(handler, folder)
    thread = threading.Thread(target=host.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield host
    finally:
        host.shutdown()
        thread.join()
        host.server_close()


Make = Callable[..., Path]


def keep(workspace: Workspace, name: str, folder: Path, **fields: object) -> Artifact:
    with artifacts.store_artifact(workspace, name, **{"form": "base", **fields}) as pending:
        for path in folder.iterdir():
            (pending.folder / path.name).write_bytes(path.read_bytes())
    return pending.artifact


def shipped(workspace: Workspace, artifact: str, to: str, **fields: object) -> Artifact:
    config = ShipConfig(
        artifact=artifact, to=to, quant="F16", parity=False, context=256, **{"reason": "test", **fields}
    )
    with runs.open_run(workspace, "ship", config) as run:
        return ship(config, run)


@pytest.fixture
def experts(workspace: Workspace, tiny: Path, make_adapter: Make) -> Registry:
    """A base and two adapters, registered as din (two versions) and nayru."""
    base = keep(workspace, "base", tiny)
    known = artifacts.tensors_digest(tiny)
    registry = Registry(workspace)
    for number, name in enumerate(("din", "nayru", "din"), 1):
        folder = make_adapter(f"{name}{number}", tiny, seed=number)
        stored = keep(workspace, f"{name}-lora", folder, form="adapter", base=base.ref, base_digest=known)
        registry.register(name, stored.ref, system=f"You are {name}.", temperature=0.4)
        registry.promote(name, stored.ref, reason="test")
    return registry


def test_a_modelfile_says_everything(tiny: Path) -> None:
    style = with_known_stops(chat_style(tiny), tiny)
    text = modelfile(Deployment("din", "You are Din.", 0.4, 2048, style), "./din.gguf", "./din-lora.gguf")
    assert text == (
        'FROM ./din.gguf\nADAPTER ./din-lora.gguf\nTEMPLATE """'
        "{{ range .Messages }}<|im_start|>{{ .Role }}\n{{ .Content }}<|im_end|>\n{{ end }}<|im_start|>assistant\n"
        '"""\nSYSTEM """You are Din."""\nPARAMETER temperature 0.4\nPARAMETER num_ctx 2048\n'
        'PARAMETER stop "<|im_end|>"\nPARAMETER stop "<|endoftext|>"\n'
    )
    chat = (Message(role="user", text="q"),)
    assert write_chat_template(STYLES["chatml"], chat) == render(tiny, chat)


def test_an_unknown_template_is_not_guessed(make_model: Make) -> None:
    folder = make_model()
    settings = msgspec.json.decode((folder / "tokenizer_config.json").read_bytes())
    settings["chat_template"] = "{% for m in messages %}{{ m.role }}: {{ m.content }} {% endfor %}"
    (folder / "tokenizer_config.json").write_bytes(msgspec.json.encode(settings))
    with pytest.raises(RefusedError, match="Ollama would guess"):
        chat_style(folder)


def test_ollama_gets_the_merged_model_and_rollback_redeploys(experts: Registry, tmp_path: Path) -> None:
    workspace = experts.workspace
    with serving(OllamaHandler, tmp_path / "blobs") as host:
        made = shipped(workspace, "din", "ollama", host=host.url)
        assert made.form == "gguf"
        sent = host.models["din"]
        assert sent["system"] == "You are din."
        assert sent["parameters"] == {"temperature": 0.4, "num_ctx": 256, "stop": ["<|im_end|>", "<|endoftext|>"]}
        uploads = host.calls.count("/api/blobs/")
        shipped(workspace, "din", "ollama", host=host.url)
        assert host.calls.count("/api/blobs/") == uploads, "a blob that is there is not sent again"
        assert experts.entry("din").deployments["ollama"]["made"] == made.ref
        rollback(RollbackConfig(name="din"), workspace)
        entry = experts.entry("din")
        assert entry.aliases["champion"] == "din-lora@1"
        assert entry.deployments["ollama"]["ref"] == "din-lora@1"
        assert host.models["din"]["files"] != sent["files"]


def test_an_interrupted_rollback_is_finished_by_a_rerun(
    experts: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = experts.workspace
    with serving(OllamaHandler, tmp_path / "blobs") as host:
        shipped(workspace, "din", "ollama", host=host.url)

        def killed(*_: object, **__: object) -> None:
            raise Killed

        with monkeypatch.context() as patch, pytest.raises(Killed):
            patch.setattr(ship_ollama, "smoke_test", killed)
            rollback(RollbackConfig(name="din"), workspace)
        entry = experts.entry("din")
        assert entry.aliases["champion"] == "din-lora@1" and entry.deployments["ollama"]["ref"] == "din-lora@2"
        entry = rollback(RollbackConfig(name="din"), workspace)
        assert entry.aliases["champion"] == "din-lora@1", "not rolled forward to the version that was left"
        assert entry.deployments["ollama"]["ref"] == "din-lora@1"


def test_a_failed_smoke_test_brings_back_what_was_there(experts: Registry, tmp_path: Path) -> None:
    workspace = experts.workspace
    with serving(OllamaHandler, tmp_path / "blobs") as host:
        shipped(workspace, "din:previous", "ollama", host=host.url)
        before = dict(host.models)
        for wrong, message in (("imposter", "'other' answered"), ("answer", "stop tokens or the template")):
            setattr(host, wrong, {"imposter": "other", "answer": "x<|im_end|>"}[wrong])
            with pytest.raises(RefusedError, match=message):
                shipped(workspace, "din:champion", "ollama", host=host.url)
            setattr(host, wrong, "")
            assert host.models == before
    assert experts.entry("din").deployments["ollama"]["ref"] == "din-lora@1"


class Killed(BaseException):
    """What a killed process leaves behind: no handler of errors runs."""


def test_a_killed_deployment_goes_back_to_what_was_tested(
    experts: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = experts.workspace
    with serving(OllamaHandler, tmp_path / "blobs") as host:
        shipped(workspace, "din:previous", "ollama", host=host.url)
        tested = dict(host.models)

        def killed(*_: object, **__: object) -> None:
            raise Killed

        with monkeypatch.context() as patch, pytest.raises(Killed):
            patch.setattr(ship_ollama, "smoke_test", killed)
            shipped(workspace, "din:champion", "ollama", host=host.url)
        assert host.models["din"] != tested["din"], "the untested model stands there, the tested one beside it"
        host.answer = "x<|im_end|>"
        with pytest.raises(RefusedError):
            shipped(workspace, "din:champion", "ollama", host=host.url)
        assert host.models == tested
        host.answer = ""
        shipped(workspace, "din:champion", "ollama", host=host.url)
        assert list(host.models) == ["din"]


def test_a_host_that_is_not_there_leaves_the_command(experts: Registry) -> None:
    with pytest.raises(MissingError, match=r"ollama create din -f .*Modelfile"):
        shipped(experts.workspace, "din", "ollama", host="http://127.0.0.1:9")
    with pytest.raises(MissingError, match=r"lms import .*din-lora-merged-f16\.gguf --user-repo afs/din --hard-link"):
        shipped(experts.workspace, "din", "lmstudio", host="http://127.0.0.1:9")
    assert experts.entry("din").deployments == {}


def test_an_error_of_the_host_is_told_in_its_words(experts: Registry, tmp_path: Path) -> None:
    class Broken(OllamaHandler):
        def on_create(self, body: dict) -> None:
            self.reply({"error": "no space left on device"}, 500)

    with serving(Broken, tmp_path / "blobs") as host:
        with pytest.raises(ProviderError, match="no space left"):
            shipped(experts.workspace, "din", "ollama", host=host.url)
        assert host.models == {}


def test_lmstudio_gets_the_file_in_its_place(
    experts: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ship_lmstudio, "WAIT_S", 0.0)
    models = tmp_path / "models"
    with serving(LmStudioHandler, models) as host:
        shipped(experts.workspace, "din", "lmstudio", host=host.url, folder=str(models))
        placed = models / "afs" / "din" / "din.gguf"
        assert placed.is_file()
        first = placed.read_bytes()
        assert list(host.models) == ["afs/din"]
        assert host.models["afs/din"]["context_length"] == 256
        host.imposter = "whatever is loaded"
        with pytest.raises(RefusedError, match="'whatever is loaded' answered"):
            shipped(experts.workspace, "din:previous", "lmstudio", host=host.url, folder=str(models))
        host.imposter = ""
        assert placed.read_bytes() == first
        assert [row["sha"] for row in host.models.values()] == [hashlib.sha256(first).hexdigest()]
        shipped(experts.workspace, "din:previous", "lmstudio", host=host.url, folder=str(models))
        second = hashlib.sha256(placed.read_bytes()).hexdigest()
        assert second != hashlib.sha256(first).hexdigest()
        assert [row["sha"] for row in host.models.values()] == [second], "the old weights are out of memory"
        with pytest.raises(RefusedError, match="name that folder with --folder"):
            shipped(experts.workspace, "nayru", "lmstudio", host=host.url, folder=str(tmp_path / "elsewhere"))
        assert not (tmp_path / "elsewhere" / "afs").exists()


def test_lmstudio_gets_a_time_to_live_where_it_takes_one(experts: Registry, tmp_path: Path) -> None:
    class Newer(LmStudioHandler):
        known = ("model", "context_length", "ttl")

    with serving(Newer, tmp_path / "models") as host:
        shipped(experts.workspace, "din", "lmstudio", host=host.url, folder=str(tmp_path / "models"))
        assert host.models["afs/din"]["ttl"] == 3600


def test_an_ollama_without_adapters_says_how_to_ship(experts: Registry, tmp_path: Path) -> None:
    class Newest(OllamaHandler):
        def on_create(self, body: dict) -> None:
            if body.get("adapters"):
                self.reply({"error": "LoRA adapters are no longer supported"}, 400)
            else:
                super().on_create(body)

    with serving(Newest, tmp_path / "blobs") as host:
        with pytest.raises(RefusedError, match=r"no longer supported.*--adapter merged"):
            shipped(experts.workspace, "din", "ollama", host=host.url, adapter="lora")
        assert host.models == {}
        shipped(experts.workspace, "din", "ollama", host=host.url, adapter="merged")
        assert list(host.models) == ["din"]


def test_llama_serves_every_expert_from_one_folder(experts: Registry) -> None:
    workspace = experts.workspace
    shipped(workspace, "nayru", "llama")
    made = shipped(workspace, "din", "llama")
    folder = workspace.root / "deployed" / "llama" / made.base
    asked = [Message(role="user", text="hello")]
    answers = {}
    for name in ("din", "nayru"):
        with provider(f"llama:{folder}", {"adapter": name, "threads": 1}) as model:
            answers[name] = model.complete(asked, Sampling(max_tokens=8)).text
    assert answers["din"] != answers["nayru"]
    script = (folder / "llama-server.sh").read_text()
    assert "--cache-ram 0" in script
    assert script.count("--lora experts/") == 2
    with pytest.raises(UsageError, match="did you mean 'din'"):
        provider(f"llama:{folder}", {"adapter": "dyn", "threads": 1})


def test_mlx_gets_the_same_change_in_its_own_names(experts: Registry, tmp_path: Path) -> None:
    shipped(experts.workspace, "nayru", "mlx", folder=str(tmp_path / "mlx"))
    made = load_file(tmp_path / "mlx" / "adapters.safetensors")
    settings = msgspec.json.decode((tmp_path / "mlx" / "adapter_config.json").read_bytes())
    source = artifacts.folder_of(experts.workspace, experts.resolve("nayru"))
    lora = load_file(source / "adapter_model.safetensors")
    at = "model.layers.1.mlp.down_proj"
    x = np.random.default_rng(0).standard_normal((3, 256)).astype(np.float32)
    ours = settings["lora_parameters"]["scale"] * (x @ made[f"{at}.lora_a"]) @ made[f"{at}.lora_b"]
    peft = x @ lora[f"base_model.model.{at}.lora_A.weight"].T @ lora[f"base_model.model.{at}.lora_B.weight"].T * 2
    np.testing.assert_allclose(ours, peft, rtol=1e-4, atol=1e-5)
    assert settings["lora_parameters"]["keys"] == ["mlp.down_proj", "self_attn.q_proj"]
    shipped(experts.workspace, "nayru", "mlx", folder=str(tmp_path / "fused"), adapter="merged")
    assert (tmp_path / "fused" / "model.safetensors").is_file()


def test_mlx_reads_the_rotary_settings_of_a_newer_base_too(
    workspace: Workspace, make_model: Make, make_adapter: Make, tmp_path: Path
) -> None:
    folder = make_model()
    table = msgspec.json.decode((folder / "config.json").read_bytes())
    theta = table.pop("rope_theta")
    (folder / "config.json").write_bytes(msgspec.json.encode(table))
    base = keep(workspace, "base", folder)
    known = artifacts.tensors_digest(folder)
    keep(workspace, "din", make_adapter("a", folder), form="adapter", base=base.ref, base_digest=known)
    for name in ("din", "base"):
        shipped(workspace, name, "mlx", folder=str(tmp_path / name))
        assert (tmp_path / name / "model.safetensors").is_file(), "fused: the base alone would be misread"
        assert msgspec.json.decode((tmp_path / name / "config.json").read_bytes())["rope_theta"] == theta
    stored = artifacts.folder_of(workspace, base) / "config.json"
    assert "rope_theta" not in msgspec.json.decode(stored.read_bytes())


def test_hf_gets_a_card(experts: Registry, tmp_path: Path) -> None:
    shipped(experts.workspace, "din", "hf", folder=str(tmp_path / "hf"))
    card = (tmp_path / "hf" / "README.md").read_text()
    assert card.startswith('---\nbase_model: "base@1"')
    assert (tmp_path / "hf" / "adapter_model.safetensors").is_file()
    assert not (tmp_path / "hf" / "manifest.json").exists()


@pytest.mark.filterwarnings("default:.*is deprecated:UserWarning")
@pytest.mark.parametrize(("to", "word"), [("mlx", "mlx_lm.generate --model"), ("hf", "hf upload OWNER/")])
def test_a_folder_leaves_the_exact_command(
    experts: Registry, tmp_path: Path, capsys: pytest.CaptureFixture[str], to: str, word: str
) -> None:
    experts.deprecate("din", "din-lora@2", "replaced by nothing")
    words = ["ship", "din", "--to", to, "--folder", str(tmp_path / to), "--workspace", str(experts.workspace.root)]
    assert main(words) == 0
    told = capsys.readouterr().err
    assert f"{tmp_path / to}: " in told
    assert word in told
    assert "afs: warning: din (din-lora@2) is deprecated: replaced by nothing\n" in told


def test_an_unknown_target_names_the_nearest(experts: Registry) -> None:
    with pytest.raises(AfsError, match="did you mean 'ollama'"):
        shipped(experts.workspace, "din", "olama")


@pytest.mark.parametrize("to", ["ollama", "lmstudio", "llama"])
def test_an_ungated_model_is_not_deployed(experts: Registry, tmp_path: Path, to: str) -> None:
    with pytest.raises(RefusedError, match="not deployed: din-lora@1 has no gate report and is no champion"):
        shipped(experts.workspace, "din-lora@1", to, folder=str(tmp_path / "out"), host="http://127.0.0.1:9", reason="")
    assert not (tmp_path / "out").exists()
    refuse_ungated(experts.workspace, experts.resolve("din"), "")  # the champion
    refuse_ungated(experts.workspace, experts.resolve("base"), "")  # nothing to compare it with


def test_the_reason_of_an_ungated_deployment_is_recorded(experts: Registry, tmp_path: Path) -> None:
    shipped(experts.workspace, "din-lora@1", "llama", folder=str(tmp_path / "out"), reason="a demo")
    deployed = [event for event in experts.log.read() if event.action == "deploy"]
    assert [event.fields["reason"] for event in deployed] == ["a demo"]
