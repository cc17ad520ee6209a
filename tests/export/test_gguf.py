"""A model folder and its adapters as GGUF, loaded by a real llama.cpp."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from tokenizers import Tokenizer

from afs import artifacts, runs
from afs.errors import DataError, RefusedError, UsageError
from afs.export import ShipConfig, ship
from afs.providers.base import Sampling
from afs.providers.llama import Llama, LlamaServer
from afs.registry import Registry
from afs.types import Artifact, Message
from afs.workspace import Workspace

ODD = ["hello <|im_end|> wörld 🎉 日本語\t123456", "  lda #$01\n\n\tsta $7E0010  ", "it's HE'LL \r\n x", ""]
QUESTION = [Message(role="user", text="hello world")]


def keep(workspace: Workspace, name: str, folder: Path, **fields: object) -> Artifact:
    """Store a folder as an artifact."""
    with artifacts.store_artifact(workspace, name, **{"form": "base", **fields}) as pending:
        for path in folder.iterdir():
            (pending.folder / path.name).write_bytes(path.read_bytes())
    return pending.artifact


def shipped(workspace: Workspace, **fields: object) -> Artifact:
    """Run the verb."""
    config = msgspec.convert(fields, ShipConfig)
    with runs.open_run(workspace, "ship", config) as run:
        return ship(config, run)


@pytest.fixture
def server(tiny: Path, workspace: Workspace) -> Iterator[LlamaServer]:
    """The tiny model under llama.cpp."""
    keep(workspace, "base", tiny)
    made = shipped(workspace, artifact="base@1", quant="F16")
    with Llama(str(artifacts.folder_of(workspace, made)), {"context": 256, "threads": 1}) as model:
        yield model.server


def test_tokens_and_chats_are_those_of_training(server: LlamaServer, tiny: Path) -> None:
    tokenizer = Tokenizer.from_file(str(tiny / "tokenizer.json"))
    for text in ODD:
        assert server.tokens(text) == tokenizer.encode(text, add_special_tokens=False).ids
    chat = [*QUESTION, Message(role="assistant", text="a"), *QUESTION]
    asked = "<|im_start|>user\nhello world<|im_end|>\n"
    assert server.render(chat) == f"{asked}<|im_start|>assistant\na<|im_end|>\n{asked}<|im_start|>assistant\n"


def test_two_adapters_on_one_base_do_not_mix(
    tiny: Path, workspace: Workspace, make_adapter: Callable[..., Path]
) -> None:
    base = keep(workspace, "base", tiny)
    known = artifacts.tensors_digest(tiny)
    registry = Registry(workspace)
    under = shipped(workspace, artifact="base", quant="F16", name="the-base")
    for number, name in enumerate(("din", "nayru"), 1):
        folder = make_adapter(name, tiny, seed=number)
        keep(workspace, f"{name}-peft", folder, form="adapter", base=base.ref, base_digest=known)
        made = shipped(workspace, artifact=f"{name}-peft@1", quant="F16")
        assert made.base == under.ref, "the GGUF of the base is found by what it is, not by its name"
        registry.register(name, made.ref)
        registry.promote(name, reason="test")
    experts = {name: registry.open(name, {"context": 256, "threads": 1}) for name in ("din", "nayru")}
    sampling = Sampling(max_tokens=12)
    alone = {name: expert.complete(QUESTION, sampling).text for name, expert in experts.items()}
    assert alone["din"] != alone["nayru"]
    for _ in range(3):
        for name, expert in experts.items():
            assert expert.complete(QUESTION, sampling).text == alone[name]
    shared = {id(expert.server) for expert in experts.values() if isinstance(expert, Llama)}
    assert len(shared) == 1, "one loaded base serves both"
    for expert in experts.values():
        assert isinstance(expert, Llama)
        expert.close()


def test_an_adapter_of_another_base_of_the_same_shape_is_refused(
    workspace: Workspace, make_model: Callable[..., Path], make_adapter: Callable[..., Path], tiny: Path
) -> None:
    other = keep(workspace, "other", make_model("other", seed=7))
    folder = make_adapter("din", tiny)
    known = artifacts.tensors_digest(tiny)
    keep(workspace, "din", folder, form="adapter", base=other.ref, base_digest=known)
    with pytest.raises(RefusedError, match="another base, even of the same shape"):
        shipped(workspace, artifact="din@1")


def test_the_same_command_again_finds_what_is_there(tiny: Path, workspace: Workspace) -> None:
    keep(workspace, "base", tiny)
    made = shipped(workspace, artifact="base@1", quant="Q8_0")
    assert shipped(workspace, artifact="base@1", quant="Q8_0") == made
    assert made.facts["types"] == {"F32": 11, "Q8_0": 15}


SCRIPT = """
import argparse, sys
from pathlib import Path
from afs.export.gguf_convert import convert
words = argparse.ArgumentParser()
words.add_argument("folder"); words.add_argument("--outfile"); words.add_argument("--outtype")
given = words.parse_args()
if given.outtype == "q8_0":
    sys.exit("this architecture is not known here either")
convert(Path(given.folder), Path(given.outfile), given.outtype.upper(), name="foreign")
"""


def test_another_converter_is_run_and_its_file_compared(
    tiny: Path, workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(workspace, "base", tiny)
    script = tmp_path / "convert_hf_to_gguf.py"
    script.write_text(SCRIPT)
    made = shipped(workspace, artifact="base", quant="F16", converter=str(script))
    parity = msgspec.convert(made.facts["parity"], dict[str, object])
    assert (parity["tokens_equal"], parity["chats_equal"]) == (True, True)
    assert "kl" not in parity, "what cannot be measured is unknown, not zero"
    with pytest.raises(DataError, match=r"ended with 1: this architecture is not known here either"):
        shipped(workspace, artifact="base", quant="Q8_0", converter=str(script))
    with pytest.raises(UsageError, match=r"put llama\.cpp's llama-quantize on PATH"):
        shipped(workspace, artifact="base", quant="Q4_K_M", converter=str(script))
    tool = tmp_path / "bin" / "llama-quantize"
    tool.parent.mkdir()
    tool.write_text('#!/bin/sh\ntest "$3" = Q4_K_M && cp "$1" "$2"\n')
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tool.parent}:{os.environ['PATH']}")
    packed = shipped(workspace, artifact="base", quant="Q4_K_M", converter=str(script))
    assert packed.facts["types"] == made.facts["types"], "the types are read from the file, not from the flag"
    assert [entry.path for entry in packed.files] == ["base-q4_k_m.gguf"]
