"""Training: a dataset and a base in, an artifact out; the same command goes on with what was interrupted.

It plans the batches, looks at the data before loading anything, and leaves the steps to a back end behind
`learner.Learner`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from typing import cast

import msgspec

from afs import artifacts, jsonl, plugins, verify
from afs.config import config_digest
from afs.errors import ConfigError
from afs.runs import Run
from afs.train import checkpoints, few_shot_search, record_checks
from afs.train.checkpoints import State, Store
from afs.train.config_limits import TRAIN, refuse_beyond
from afs.train.guard import GuardState
from afs.train.learner import Backend, Learner
from afs.train.loop import Parts, TrainLoop
from afs.train.metric_sinks import open_sinks
from afs.train.rewards import Judge
from afs.train.schedule import batches
from afs.train.settings import TrainConfig
from afs.train.task_probes import Probes
from afs.train.training_data import Material, gather, quality, sides_of
from afs.types import Artifact, Record, digest

__all__ = ["TrainConfig", "train"]

_CLASSIFY = "afs.train.classify:classify"
Rewrite = Callable[[Sequence[Record]], list[Record]]
_LIBRARIES = ("torch", "transformers", "peft", "trl", "bitsandbytes", "tokenizers", "safetensors", "numpy")


def train(config: TrainConfig, run: Run, *, allow_drift: bool = False) -> Artifact:
    """Train as the config says and store the result."""
    if run.done("artifact"):
        return artifacts.load(run.workspace, str(run.facts("artifact")["ref"]))
    with verify.Verifier(jobs=run.workspace.jobs, cache=run.workspace.root / "cache" / "verdicts.db") as verifier:
        return _made(config, run, lambda pairs: list(verifier.verify_all(pairs)), allow_drift=allow_drift)


def _made(config: TrainConfig, run: Run, judge: Judge, *, allow_drift: bool) -> Artifact:
    refuse_beyond(config, TRAIN)
    if config.method == "fewshot":
        dataset, train_side, held_out = sides_of(config, run.workspace)
        record_checks.check(config, train_side, held_out)
        artifact = few_shot_search.choose(config, run, (train_side, held_out), dataset, judge)
        run.mark("artifact", ref=artifact.ref)
        return artifact
    backend = cast(Backend, plugins.find("trainer", config.trainer))
    backend.refuse(config)
    if config.method == "classify":

        def adapt(chosen: TrainConfig, rewrite: Rewrite) -> Learner:
            return _adapted(chosen, run, judge, rewrite, allow_drift=allow_drift)

        make = cast("Callable[[TrainConfig, Run, Callable[..., Learner]], Artifact]", plugins.load(_CLASSIFY))
        artifact = make(config, run, adapt)
        run.mark("artifact", ref=artifact.ref)
        return artifact
    material = gather(config, run.workspace, judge)
    record_checks.check(config, material.train, material.held_out)
    with run.phase(f"prepare {config.name}"):
        learner = backend(config, material, run.event)
    try:
        state = _train(config, run, material, learner, allow_drift=allow_drift)
        artifact = _store(config, run, material, learner, state)
    finally:
        learner.close()
    run.mark("artifact", ref=artifact.ref)
    return artifact


def _adapted(config: TrainConfig, run: Run, judge: Judge, rewrite: Rewrite, *, allow_drift: bool) -> Learner:
    """An adapter trained on rewritten records, for what reads the model's hidden state."""
    chosen = msgspec.structs.replace(config, method="lora")
    material = gather(chosen, run.workspace, judge)
    material = material._replace(train=rewrite(material.train), held_out=rewrite(material.held_out))
    with run.phase(f"prepare {config.name}"):
        learner = cast(Backend, plugins.find("trainer", config.trainer))(chosen, material, run.event)
    _train(chosen, run, material, learner, allow_drift=allow_drift)
    return learner


def _train(config: TrainConfig, run: Run, material: Material, learner: Learner, *, allow_drift: bool) -> State:
    def ease(row: int) -> float:
        return quality(material.train[row]) - learner.lengths[row] / 1e6

    store = Store(run.folder / "checkpoints", run, keep=config.checkpoints.keep, config=config_digest(config))
    probes = Probes(config.evaluate, material, run)
    identity = identity_of(config, material, learner)
    plan = batches(config, learner.lengths, ease if len(learner.lengths) == len(material.train) else None)
    with open_sinks(config, run) as sinks:
        parts = Parts(config, run, learner, plan, store, probes, identity, versions(), sinks)
        state = _begin(parts, allow_drift=allow_drift)
        _record(run, config, parts, material, state, "running")
        with run.phase(f"train {config.name}", steps=len(plan) - state.batch):
            loop = TrainLoop(parts, state)
            try:
                state = loop.train()
            finally:
                _record(run, config, parts, material, loop.state, "ended")
        if state.best is not None and state.best.batch != state.batch and store.place(state.best.batch).is_dir():
            learner.restore(store.place(state.best.batch), weights_only=True)
            run.event(
                "notice", text=f"the best evaluation was at step {state.best.batch} of {state.batch}: kept that one"
            )
    return state


def _begin(parts: Parts, *, allow_drift: bool) -> State:
    """From the newest sound checkpoint, or from the start."""
    found = parts.store.newest()
    if found is None:
        run, facts = parts.run, parts.learner.facts
        run.event("train.begin", steps=len(parts.batches), **facts)
        if not parts.probes.held_out:
            run.event("notice", text="no held-out split: nothing tells learning from memorizing")
        return State()
    checkpoints.refuse_drift(found.manifest.identity, parts.identity, allowed=allow_drift, log=parts.run)
    parts.learner.restore(found.folder)
    state = found.manifest.state
    if state.micro and hasattr(parts.learner, "micro"):
        parts.learner.micro = state.micro
    parts.run.event("train.resume", step=state.batch, of=len(parts.batches))
    return state


def identity_of(config: TrainConfig, material: Material, learner: Learner) -> dict[str, str]:
    """What two halves of one run must share."""
    rates = (config.learning_rate, config.schedule, config.warmup, config.epochs, config.max_steps, config.stages)
    return {
        "data": material.digest,
        "base": material.base.digest,
        "template": str(learner.facts.get("template_sha256", "")),
        "tokenizer": str(learner.facts.get("tokenizer_sha256", "")),
        "method": config.method,
        "learning rate and schedule": digest(msgspec.to_builtins(rates)) if config.stages else str(rates[:5]),
        "batch_size": str(config.batch_size),
        "lora": digest(config.lora),
        "seed": str(config.seed),
        "optimizer": f"{config.optimizer} {config.weight_decay:g} {config.max_grad_norm:g}",
        "max_length": str(config.max_length),
    }


def versions() -> dict[str, str]:
    """The libraries that take part."""
    found = {}
    for name in _LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _record(run: Run, config: TrainConfig, parts: Parts, material: Material, state: State, status: str) -> None:
    """The run's own record: complete from the first step on, whatever becomes of the process."""
    row: Mapping[str, object] = {
        "schema": 1,
        "status": status,
        "dataset": material.dataset.ref,
        "data_digest": material.digest,
        "records": len(material.train),
        "rehearsed": material.rehearsed,
        "base": material.base.text,
        "base_digest": material.base.digest,
        "method": config.method,
        "config_digest": config_digest(config),
        "versions": parts.versions,
        "model": parts.learner.facts,
        "steps": len(parts.batches),
        "state": msgspec.structs.replace(state, guard=GuardState()),
        "cost_usd": round(state.elapsed / 3600 * config.usd_per_hour, 4) if config.usd_per_hour else None,
    }
    jsonl.replace(run.folder / "record.json", msgspec.json.format(msgspec.json.encode(row), indent=2))


def _store(config: TrainConfig, run: Run, material: Material, learner: Learner, state: State) -> Artifact:
    form = {"scratch": "base", "full": "merged"}.get(config.method, "adapter")
    base = material.base
    if form == "merged" and not base.text:
        raise ConfigError("base", "a full fine-tune has a base")
    with artifacts.store_artifact(
        run.workspace,
        config.name,
        form=form,
        base=base.text,
        base_digest=base.digest,
        dataset=material.dataset.ref,
        dataset_digest=material.dataset.digest,
        config_digest=config_digest(config),
        parents=(*material.parents, *((f"artifact:{base.text}",) if base.text else ())),
        run=run.id,
    ) as pending:
        pending.facts.update(learner.export(pending.folder))
        pending.facts.update(
            method=config.method,
            trainer=config.trainer,
            steps=state.steps,
            samples_seen=state.samples,
            tokens_trained=state.tokens,
            seconds=round(state.seconds, 1),
            last_loss=state.loss,
            best=msgspec.to_builtins(state.best),
            trained_share=learner.facts.get("trained_share"),
        )
    return pending.artifact
