"""Stored models that run here: perplexity of the very files that ship, and the council as a subject, near and by HTTP."""

from __future__ import annotations

import importlib.util
import math
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import uvicorn

from afs import artifacts, datasets
from afs.council import open_council
from afs.errors import ProviderError
from afs.evaluate import EvalRunConfig, answer_perplexity, eval_run, report_store
from afs.evaluate.suites import open_suite
from afs.export.gguf_convert import convert
from afs.providers.base import Sampling, provider
from afs.registry import Registry
from afs.runs import Run
from afs.serve.gateway import Gateway
from afs.workspace import Workspace

BRIEF = Sampling(max_tokens=4)
Q8, F16 = "Q8_0", "F16"


def builders() -> ModuleType:
    """The builders of tiny models beside the tests of shipping."""
    path = Path(__file__).parents[1] / "export" / "conftest.py"
    spec = importlib.util.spec_from_file_location("tiny_models", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A tiny model's folder, and its GGUFs: whole, and quantized to four bits."""
    place = tmp_path_factory.mktemp("tiny")
    folder = builders().write_model(place / "model", tie_word_embeddings=False)
    found = {"folder": folder}
    for kind in (F16, Q8, "Q4_K_M"):
        found[kind] = place / f"{kind}.gguf"
        convert(folder, found[kind], kind, name="tiny")
    return found


@pytest.fixture
def shipped(workspace: Workspace, files: dict[str, Path]) -> str:
    """The quantized file as a stored artifact, registered as two experts."""
    with artifacts.store_artifact(workspace, "tiny-q8", form="gguf") as made:
        (made.folder / "model.gguf").write_bytes(files[Q8].read_bytes())
    for name in ("adder", "sorter"):
        Registry(workspace).register(name, "tiny-q8@1", alias="champion")
    return "tiny-q8@1"


@pytest.mark.e2e
def test_perplexity_of_a_gguf_is_the_answers_alone(files: dict[str, Path]) -> None:
    """Against PyTorch on the same weights: the same tokens and likelihoods, and four bits move them a little."""
    chats = [(datasets.task_messages("lda #$01"), "hello wonderful world"), (datasets.task_messages("jsl"), "rep #$30")]
    exact = provider(f"local:{files['folder']}", {}).losses(chats)  # type: ignore[attr-defined]
    for kind, most in ((F16, 0.01), (Q8, 0.03), ("Q4_K_M", 0.3)):
        with provider(f"llama:{files[kind]}", {"context": 256, "threads": 1}) as model:  # type: ignore[attr-defined]
            told = model.losses(chats)
            words = [len(model.server.tokens(answer)) for _, answer in chats]
        assert [count for _, count in told] == words, "neither the question's tokens nor the template's are counted"
        for (nats, count), (wanted, tokens) in zip(told, exact, strict=True):
            assert count == tokens and abs(nats - wanted) / count < most, kind
            assert nats / count > 1.0, "random weights know nothing"


@pytest.mark.e2e
def test_the_report_holds_the_perplexity_of_the_stored_quantized_file(
    workspace: Workspace, run: Run, shipped: str
) -> None:
    config = EvalRunConfig(suite="sums:copy", model=(shipped,), base="none", count=4, sampling=BRIEF, perplexity=4)
    report = eval_run(config, run)
    items = open_suite(workspace, "sums:copy", count=4).items
    found = report.summary["perplexity"], report.summary["bits_per_byte"]
    assert all(number.value is not None and number.n == 4 for number in found)
    model = Registry(workspace).open(shipped)
    assert answer_perplexity.measure(model, items)["perplexity"].value == pytest.approx(found[0].value, rel=1e-3)
    told = model.losses([(datasets.task_messages(i.task.prompt, i.task.system), i.task.reference) for i in items])  # type: ignore[attr-defined]
    size = sum(len(item.task.reference.encode()) for item in items)
    assert found[1].value == pytest.approx(sum(nats for nats, _ in told) / math.log(2) / size, rel=1e-3)
    assert {row.artifact for row in report_store.table(workspace, report).rows} == {
        artifacts.load(workspace, shipped).digest
    }


@pytest.fixture
def gateway(workspace: Workspace, shipped: str) -> Iterator[str]:
    """`afs serve` over the same workspace."""
    app = Gateway(open_council(workspace)).app()
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
    server.should_exit = True
    thread.join(10)


@pytest.mark.e2e
def test_the_council_is_measured_directly_and_through_its_gateway(workspace: Workspace, run: Run, gateway: str) -> None:
    config = EvalRunConfig(
        suite="sums:add",
        model=("council", "council:sorter", f"council@{gateway}"),
        base="none",
        count=2,
        sampling=BRIEF,
        name="r",
    )
    rows = report_store.table(workspace, eval_run(config, run)).rows
    by = {name: [row for row in rows if row.model == name] for name in dict.fromkeys(row.model for row in rows)}
    assert list(by) == ["council", "council:sorter", "openai:council"] and {len(found) for found in by.values()} == {2}
    assert {row.answered_by for row in by["council"]} == {row.answered_by for row in by["openai:council"]}
    assert {row.answered_by for row in by["council:sorter"]} == {"council/sorter"}
    assert {row.outcome for row in rows} <= {"answered", "cut", "empty"} and all(row.artifact for row in by["council"])
    assert by["council"][0].artifact != by["council:sorter"][0].artifact


def test_an_expert_that_is_not_there(workspace: Workspace, shipped: str) -> None:
    model = provider("council:ganon", {"workspace": str(workspace.root)})
    with pytest.raises(ProviderError, match="no expert is called 'ganon'; there are: adder, sorter"):
        model.complete(datasets.task_messages("hello"), BRIEF)
