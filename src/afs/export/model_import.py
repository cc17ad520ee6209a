"""`afs models import`: a base, a merged model, an adapter or a GGUF made elsewhere becomes a stored model.

Everything is checked before it is stored: weights without pickles, a tokenizer that fits them, a chat template, a named
license; an adapter against its base's tensors; a converted GGUF against llama.cpp on the original file.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import ClassVar, Literal, NamedTuple

import msgspec
from tokenizers import Tokenizer

from afs import artifacts, jsonl, models
from afs.chat_template import read_template
from afs.config import Config, config_digest
from afs.errors import ConfigError, DataError, RefusedError, UsageError, boundary
from afs.export.adapter_files import Adapter, open_adapter
from afs.export.gguf_import import import_gguf, open_gguf
from afs.export.parity import Parity, compare_gguf
from afs.export.safetensors_files import Weights
from afs.providers.llama import Llama
from afs.runs import Run
from afs.types import Artifact

_NEEDED = ("*.json", "*.safetensors", "*.jinja", "*.model", "*.txt")
_EMBEDDING = "model.embed_tokens.weight"
_MAX_KL = 2e-2
"""Largest mean KL divergence of an import from its GGUF: llama.cpp rounds activations too, which costs up to 5e-3."""
_CONTEXT = 512


class ModelImportConfig(Config, frozen=True, kw_only=True):
    """Store a base model, an adapter or a GGUF that was made elsewhere."""

    positional: ClassVar[tuple[str, ...]] = ("source",)
    source: str
    """A Hugging Face folder (model or PEFT adapter), a GGUF file, or a hub id such as `Qwen/Qwen2.5-0.5B-Instruct`."""
    name: str
    """Name of the artifact to store."""
    license: str = ""
    """Its license, such as Apache-2.0; empty: as the GGUF or the folder's README names it."""
    form: Literal["auto", "base", "merged", "gguf"] = "auto"
    """What to store: `gguf` keeps a GGUF file as it is, to be asked but not trained on; auto: a base or an adapter."""
    base: str = ""
    """Base of an adapter or of a merged model; empty: as an adapter's own config names it."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Number format of weights from a GGUF; auto: the file's own, float32 after dequantizing (bfloat16 from 1 B up)."""
    chat_template: str = ""
    """File with the chat template, for a model that comes without one."""
    parity: bool = True
    """Compare what is imported from a GGUF with llama.cpp on that file: tokens, chats, next-token distributions."""


class _Origin(NamedTuple):
    """The files to import, and what is known of them."""

    place: Path
    label: str
    """The hub id or the file's name, without the path."""


def import_model(config: ModelImportConfig, run: Run) -> Artifact:
    """Check and store the model; one that is stored already is returned."""
    origin = locate_source(config.source)
    if origin.place.is_file():
        store = store_gguf if config.form == "gguf" else store_converted_gguf
        return store(config, run, origin)
    if (origin.place / "adapter_config.json").is_file():
        return store_adapter(config, run, origin)
    return store_folder(config, run, origin)


def locate_source(text: str) -> _Origin:
    """The folder or file that a text names, fetched from the Hub where it is an id."""
    place = Path(text)
    if place.exists():
        if place.is_file() and place.suffix != ".gguf":
            raise UsageError(f"{text}: want a folder, a .gguf file or a hub id")
        return _Origin(place, place.resolve().name)
    if not models.is_hub_id(text):
        raise UsageError(f"{text}: no such folder or file, and not a hub id (owner/name)")
    return _Origin(models.download(text), text)


def store_converted_gguf(config: ModelImportConfig, run: Run, origin: _Origin) -> Artifact:
    """A GGUF file as a base: a Hugging Face folder that training can start from."""
    place = run.folder / "imported"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    with run.phase("dequantize", file=origin.place.name):
        opened = open_gguf(origin.place)
        licensed = config.license or str(opened.values.get("general.license", ""))
        refuse_unlicensed(config, {"license": licensed})
        run.free_space(4 * opened.parameters)
        facts = import_gguf(opened, place, config.dtype)
    add_template(config, place)
    if config.parity:
        with run.phase("parity"):
            measured: dict[str, object] = msgspec.to_builtins(check_against_gguf(place, origin.place))
            run.event("parity", **measured)
            facts["parity"] = measured
    made = _store(config, run, _Origin(place, origin.label), {**facts, "license": licensed})
    shutil.rmtree(place, ignore_errors=True)
    return made


def check_against_gguf(folder: Path, file: Path) -> Parity:
    """The imported folder against llama.cpp on the original file; a difference is refused."""
    with Llama(str(file), {"context": _CONTEXT}) as loaded:
        measured = compare_gguf(folder, loaded.server)
    if not measured.tokens_equal or measured.chats_equal is False:
        what = "tokens" if not measured.tokens_equal else "chats"
        raise RefusedError(f"{file.name}: the rebuilt tokenizer makes other {what} than llama.cpp; nothing was stored")
    if measured.kl is None or not measured.kl <= _MAX_KL:
        raise RefusedError(f"{file.name}: KL divergence {measured.kl} from llama.cpp; at most {_MAX_KL} is accepted")
    return msgspec.structs.replace(measured, bound=_MAX_KL)


def store_gguf(config: ModelImportConfig, run: Run, origin: _Origin) -> Artifact:
    """A GGUF file as it is."""
    opened = open_gguf(origin.place)
    facts: dict[str, object] = {
        "license": config.license or str(opened.values.get("general.license", "")),
        "parameters": opened.parameters,
        "types": sorted({tensor.tensor_type.name for tensor in opened.tensors.values()}),
    }
    refuse_unlicensed(config, facts)
    base = models.find_base(run.workspace, config.base) if config.base else None
    fields = {"base": base.text, "base_digest": base.digest} if base else {}
    with _pending(config, run, origin, facts, form="gguf", **fields) as pending:
        shutil.copyfile(origin.place, pending.folder / origin.place.name)
    return pending.artifact


def store_folder(config: ModelImportConfig, run: Run, origin: _Origin) -> Artifact:
    """A Hugging Face model folder as a base, or as a merged model of a named base."""
    if not (origin.place / "config.json").is_file():
        raise UsageError(f"{config.source}: no config.json and no adapter_config.json; want a model or adapter folder")
    licensed = config.license or readme_license(origin.place)
    return _store(config, run, origin, {"license": licensed})


def _store(config: ModelImportConfig, run: Run, origin: _Origin, facts: dict[str, object]) -> Artifact:
    """A checked model folder, stored; the same tensors under the same name are stored once."""
    refuse_unlicensed(config, facts)
    weights = Weights(origin.place)
    check_tokenizer(origin.place, weights)
    template = Path(config.chat_template).read_text("utf-8") if config.chat_template else read_template(origin.place)
    if not template:
        raise DataError(f"{origin.label}: no chat template; name a file with one: --chat-template FILE")
    tensors = artifacts.tensors_digest(origin.place)
    facts |= {"tensors": tensors, "parameters": count(weights), "dtypes": dtypes(weights)}
    earlier = stored_before(run, config.name, tensors)
    if earlier is not None:
        run.event("notice", text=f"{earlier.ref} has these tensors already")
        return earlier
    base = models.find_base(run.workspace, config.base) if config.base else None
    form = "merged" if base else "base"
    if config.form not in ("auto", form):
        raise ConfigError("form", f"a merged model names its base (--base); got form = {config.form!r}")
    fields = {"base": base.text, "base_digest": base.digest} if base else {}
    with _pending(config, run, origin, facts, form=form, **fields) as pending:
        for path in files_of(origin.place):
            place = path.replace if run.folder in path.parents else partial(shutil.copyfile, path)
            place(pending.folder / path.name)
        add_template(config, pending.folder)
    return pending.artifact


def store_adapter(config: ModelImportConfig, run: Run, origin: _Origin) -> Artifact:
    """A PEFT adapter, checked against the tensors of its base."""
    opened = open_adapter(origin.place)
    named = config.base or str(opened.facts["base"])
    if not named:
        raise ConfigError("base", f"{origin.label} does not name its base; name it with --base")
    base = models.find_base(run.workspace, named)
    assert base.folder is not None
    check_adapter(opened, Weights(base.folder), base.text)
    facts: dict[str, object] = {**opened.facts, "license": config.license or readme_license(origin.place)}
    refuse_unlicensed(config, facts)
    parents = (f"artifact:{base.ref}",) if base.ref else ()
    fields = {"base": base.text, "base_digest": base.digest, "parents": parents}
    with _pending(config, run, origin, facts, form="adapter", **fields) as pending:
        for path in files_of(origin.place):
            shutil.copyfile(path, pending.folder / path.name)
        settings = {**opened.settings, "base_model_name_or_path": base.text}
        table = msgspec.json.format(msgspec.json.encode(settings), indent=2)
        jsonl.replace(pending.folder / "adapter_config.json", table)
        for path in files_of(base.folder):
            if path.name.startswith(("tokenizer", "chat_template")) and not (pending.folder / path.name).exists():
                shutil.copyfile(path, pending.folder / path.name)
    return pending.artifact


def _pending(
    config: ModelImportConfig, run: Run, origin: _Origin, facts: Mapping[str, object], **fields: object
) -> AbstractContextManager[artifacts.PendingArtifact]:
    return artifacts.store_artifact(
        run.workspace,
        config.name,
        config_digest=config_digest(config),
        run=run.id,
        facts={**facts, "source": origin.label, "imported": True},
        **fields,
    )


def stored_before(run: Run, name: str, tensors: str) -> Artifact | None:
    """The version of a name that has these tensors."""
    for version in reversed(run.workspace.versions("artifact", name)):
        artifact = artifacts.load(run.workspace, f"{name}@{version}")
        if artifact.facts.get("tensors") == tensors:
            return artifact
    return None


def refuse_unlicensed(config: ModelImportConfig, facts: Mapping[str, object]) -> None:
    """A model whose license nobody named is not stored: what may be shipped depends on it."""
    if not facts.get("license"):
        raise UsageError(f"{config.source} names no license; name it with --license (such as Apache-2.0)")


def readme_license(folder: Path) -> str:
    """The license in the front matter of a folder's README; empty when there is none."""
    path = folder / "README.md"
    lines = path.read_text("utf-8", "replace").splitlines() if path.is_file() else []
    head = lines[1 : lines.index("---", 1)] if lines[:1] == ["---"] and "---" in lines[1:] else []
    return next((line.partition(":")[2].strip() for line in head if line.startswith("license:")), "")


def check_tokenizer(folder: Path, weights: Weights) -> None:
    """Refuse a tokenizer with tokens that the embedding has no row for."""
    with boundary(DataError, f"{folder.name}: its tokenizer cannot be read"):
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    largest = max(tokenizer.get_vocab(with_added_tokens=True).values(), default=-1)
    rows = weights.shape(_EMBEDDING)[0] if _EMBEDDING in weights else largest + 1
    if largest >= rows:
        raise DataError(f"{folder.name}: the tokenizer has token {largest}, the embedding only {rows} rows")


def check_adapter(adapter: Adapter, base: Weights, name: str) -> None:
    """Refuse an adapter whose modules or shapes are not those of the base."""
    for module, delta in adapter.deltas.items():
        weight = f"{module}.weight"
        if weight not in base:
            raise DataError(f"the adapter changes {module}, which {name} does not have: it was made on another base")
        rows, columns = base.shape(weight)
        wanted = (rows, columns) if not delta.is_embedding else (columns, rows)
        found = (adapter.weights.shape(delta.b)[0], adapter.weights.shape(delta.a)[1])
        if found != wanted:
            raise DataError(f"the adapter's {module} is {found}, {name} has {wanted}: it was made on another base")


def add_template(config: ModelImportConfig, folder: Path) -> None:
    """Put the named chat template beside the model."""
    if config.chat_template:
        jsonl.replace(folder / "chat_template.jinja", Path(config.chat_template).read_bytes())


def files_of(folder: Path) -> list[Path]:
    """The files of a model folder that are kept."""
    return sorted({path for pattern in _NEEDED for path in folder.glob(pattern) if path.name != "manifest.json"})


def count(weights: Weights) -> int:
    """Parameters of all tensors."""
    return sum(size for size in dtypes(weights).values())


def dtypes(weights: Weights) -> dict[str, int]:
    """Parameters by number format."""
    found: dict[str, int] = {}
    for tensor in weights.table.values():
        size = 1
        for length in tensor.shape:
            size *= length
        found[tensor.dtype] = found.get(tensor.dtype, 0) + size
    return found
