"""Training: a dataset and a base in, an artifact out; rerun the same command to resume.

It plans the batches, looks at the data before loading anything, and leaves the steps to a back end behind
`learner.Learner`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata

import msgspec

from afs import answer_verifier, artifacts, jsonl, plugins
from afs.config import config_digest, validate
from afs.errors import ConfigError
from afs.runs import Run
from afs.train import checkpoints, few_shot_search, record_checks
from afs.train.checkpoints import State, Store
from afs.train.guard import GuardState
from afs.train.learner import BACKENDS, Backend, Learner
from afs.train.loop import Parts, TrainLoop
from afs.train.metric_sinks import open_sinks
from afs.train.rewards import Judge
from afs.train.schedule import plan_batches
from afs.train.settings import TrainConfig
from afs.train.task_probes import Probes
from afs.train.training_data import Material, gather_material, mean_score, read_sides
from afs.types import Artifact, Record, digest

__all__ = ["TrainConfig", "train"]

_CLASSIFY = plugins.Late[Callable[[TrainConfig, Run, Callable[..., Learner]], Artifact]]("afs.train.classify:classify")
_RANKED = plugins.Late[Backend]("afs.train.backends.ranks:RankedBackend")
_DISMISS = plugins.Late[Callable[[], None]]("afs.train.backends.ranks:dismiss")
Rewrite = Callable[[Sequence[Record]], list[Record]]
_LIBRARIES = ("torch", "transformers", "peft", "trl", "bitsandbytes", "tokenizers", "safetensors", "numpy")


def train(config: TrainConfig, run: Run, *, allow_drift: bool = False) -> Artifact:
    """Train as the config says and store the result."""
    try:
        return _train_or_find(config, run, allow_drift=allow_drift)
    finally:
        if _is_one_of_several():
            _DISMISS.load()()


def _is_one_of_several() -> bool:
    """Whether `torchrun` or `accelerate launch` started further processes, which wait for this one."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def _refuse_several(config: TrainConfig) -> None:
    """Raise for what only one process can do, when there are several."""
    if _is_one_of_several() and (config.trainer != "hf" or config.method in ("fewshot", "classify")):
        raise ConfigError(
            "trainer", 'several processes train with trainer = "hf" and a method that learns from answers'
        )


def _train_or_find(config: TrainConfig, run: Run, *, allow_drift: bool) -> Artifact:
    """The result: an earlier one of this run, or of training now."""
    if run.done("artifact"):
        return artifacts.load(run.workspace, str(run.facts("artifact")["ref"]))
    with answer_verifier.open_verifier(run.workspace.root, run.workspace.jobs) as verifier:
        return run_method(config, run, lambda pairs: list(verifier.verify_all(pairs)), allow_drift=allow_drift)


def run_method(config: TrainConfig, run: Run, judge: Judge, *, allow_drift: bool) -> Artifact:
    validate(config)
    _refuse_several(config)
    if config.method == "fewshot":
        dataset, train_side, held_out = read_sides(config, run.workspace)
        record_checks.refuse_bad_records(config, train_side, held_out)
        artifact = few_shot_search.choose_examples(config, run, (train_side, held_out), dataset, judge)
        run.mark("artifact", ref=artifact.ref)
        return artifact
    backend = _RANKED.load() if _is_one_of_several() else BACKENDS.find(config.trainer)
    backend.refuse(config)
    if config.method == "classify":

        def adapt(chosen: TrainConfig, rewrite: Rewrite) -> Learner:
            return train_on_rewritten(chosen, run, judge, rewrite, allow_drift=allow_drift)

        artifact = _CLASSIFY.load()(config, run, adapt)
        run.mark("artifact", ref=artifact.ref)
        return artifact
    material = gather_material(config, run.workspace, judge)
    record_checks.refuse_bad_records(config, material.train, material.held_out)
    with run.phase(f"prepare {config.name}"):
        learner = backend(config, material, run.event)
    try:
        state = run_loop(config, run, material, learner, allow_drift=allow_drift)
        artifact = store_artifact(config, run, material, learner, state)
    finally:
        learner.close()
    run.mark("artifact", ref=artifact.ref)
    return artifact


def train_on_rewritten(config: TrainConfig, run: Run, judge: Judge, rewrite: Rewrite, *, allow_drift: bool) -> Learner:
    """Train an adapter on rewritten records, for classifiers that read its hidden states."""
    chosen = msgspec.structs.replace(config, method="lora")
    material = gather_material(chosen, run.workspace, judge)
    material = material._replace(train=rewrite(material.train), held_out=rewrite(material.held_out))
    with run.phase(f"prepare {config.name}"):
        learner = BACKENDS.find(config.trainer)(chosen, material, run.event)
    run_loop(chosen, run, material, learner, allow_drift=allow_drift)
    return learner


def run_loop(config: TrainConfig, run: Run, material: Material, learner: Learner, *, allow_drift: bool) -> State:
    def ease(row: int) -> float:
        return mean_score(material.train[row]) - learner.lengths[row] / 1e6

    store = Store(run.folder / "checkpoints", run, keep=config.checkpoints.keep, config=config_digest(config))
    probes = Probes(config.evaluate, material, run)
    identity = run_identity(config, material, learner)
    plan = plan_batches(config, learner.lengths, ease if len(learner.lengths) == len(material.train) else None)
    with open_sinks(config, run) as sinks:
        parts = Parts(config, run, learner, plan, store, probes, identity, library_versions(), sinks)
        state = restore_or_start(parts, allow_drift=allow_drift)
        write_record(run, config, parts, material, state, "running")
        with run.phase(f"train {config.name}", steps=len(plan) - state.batch):
            loop = TrainLoop(parts, state)
            try:
                state = loop.train()
            finally:
                write_record(run, config, parts, material, loop.state, "ended")
        if state.best is not None and state.best.batch != state.batch and store.place(state.best.batch).is_dir():
            learner.restore(store.place(state.best.batch), weights_only=True)
            run.event(
                "notice",
                text=f"kept step {state.best.batch} of {state.batch}: it had the best evaluation",
            )
    return state


def restore_or_start(parts: Parts, *, allow_drift: bool) -> State:
    """Restore the newest valid checkpoint, or begin at step 0."""
    found = parts.store.newest()
    if found is None:
        run, facts = parts.run, parts.learner.facts
        run.event("train.begin", steps=len(parts.batches), **facts)
        if not parts.probes.held_out:
            run.event("notice", text="no held-out split: memorization would go unnoticed")
        return State()
    checkpoints.refuse_drift(found.manifest.identity, parts.identity, allowed=allow_drift, log=parts.run)
    parts.learner.restore(found.folder)
    state = found.manifest.state
    if state.micro and hasattr(parts.learner, "micro"):
        parts.learner.micro = state.micro
    parts.run.event("train.resume", step=state.batch, of=len(parts.batches))
    return state


def run_identity(config: TrainConfig, material: Material, learner: Learner) -> dict[str, str]:
    """What must not change between the parts of an interrupted run."""
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


def library_versions() -> dict[str, str]:
    """Versions of the libraries in use."""
    found = {}
    for name in _LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def write_record(run: Run, config: TrainConfig, parts: Parts, material: Material, state: State, status: str) -> None:
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


def store_artifact(config: TrainConfig, run: Run, material: Material, learner: Learner, state: State) -> Artifact:
    form = {"scratch": "base", "full": "merged"}.get(config.method, "adapter")
    base = material.base
    if form == "merged" and not base.text:
        raise ConfigError("base", "a full fine-tune needs a base")
    with artifacts.store_artifact(
        run.workspace,
        config.name,
        form=form,
        base=base.text,
        base_digest=base.digest,
        dataset=material.dataset.ref,
        dataset_digest=material.dataset.digest,
        config_digest=config_digest(config),
        parents=(*material.parents, *((f"artifact:{base.ref}",) if base.ref else ())),
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
