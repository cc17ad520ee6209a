"""A training job on another machine: what it needs is sent, the same `afs train` runs there, its results come back."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

from afs import artifacts, datasets, jsonl, models, runs
from afs.cloud.shells import Fetched, Shell, get_folder, put_file, put_folder
from afs.config import Config, decode, load_toml
from afs.errors import DataError, ProviderError, UsageError
from afs.plugins import HOOKS, Late
from afs.types import Artifact
from afs.workspace import MANIFEST, Workspace

HOME = "afs-job"
"""The job's folder in the home of the machine."""
_PACKAGE = Path(__file__).resolve().parents[1]
_EXTRAS = ("train", "gguf")
_TRAIN_CONFIG = Late[type[Config]](HOOKS["train_config"])
_RUN = """cd "$HOME/{home}" || exit 1
( {{ {setup}
}} && PYTHONPATH=src {python} -m afs train @job.toml --workspace workspace )
echo $? > exit.part && mv exit.part exit
"""


class JobResult(NamedTuple):
    """What came back."""

    models: tuple[str, ...]
    """Stored artifacts, `name@version`."""
    beside: tuple[str, ...]
    """Folders that could not be stored, because another version has their place."""


class TrainJob:
    """One config file, the workspace it belongs to, and its files there and here."""

    def __init__(self, workspace: Workspace, config_file: Path, *, setup: str = "", python: str = "python3") -> None:
        self.workspace, self.file, self.python = workspace, config_file, python
        self.setup = setup or install_command(python)
        table = load_toml(config_file)
        self.config = decode(_TRAIN_CONFIG.load(), table, file=str(config_file))
        self.name = str(table.get("name") or config_file.stem)

    def check(self) -> None:
        """Everything that must lie in the workspace does."""
        for _ in self._needed_folders():
            pass

    def _needed_folders(self) -> Iterator[Path]:
        """Folders of the workspace that the job reads."""
        rehearsed = getattr(self.config, "rehearsal", ())
        for name in (getattr(self.config, "dataset", ""), *(getattr(one, "dataset", "") for one in rehearsed)):
            if name:
                yield datasets.folder_of(self.workspace, datasets.load(self.workspace, name))
        base = str(getattr(self.config, "base", ""))
        if base and not models.is_hub_id(base):
            if Path(base).is_dir():
                raise UsageError(f"{base}: a folder is not sent; store it first: afs models import {base} --name NAME")
            for artifact in self._with_ancestors(artifacts.load(self.workspace, base)):
                yield artifacts.folder_of(self.workspace, artifact)

    def _with_ancestors(self, artifact: Artifact) -> Iterator[Artifact]:
        yield artifact
        if artifact.base and artifact.form == "adapter":
            yield from self._with_ancestors(artifacts.load(self.workspace, artifact.base))

    def gigabytes(self) -> float:
        """What is sent."""
        folders = [_PACKAGE, *self._needed_folders()]
        return sum(path.stat().st_size for folder in folders for path in folder.rglob("*") if path.is_file()) / 1e9

    def send(self, shell: Shell) -> int:
        """The package, the data, the base, and an earlier run of the same config; the number of files sent."""
        sent = put_folder(shell, _PACKAGE, f"{HOME}/src/afs")
        root = self.workspace.root
        for folder in self._needed_folders():
            sent += put_folder(shell, folder, f"{HOME}/workspace/{folder.relative_to(root).as_posix()}")
        earlier = runs.find(self.workspace, "train", runs.run_digest(self.config))
        if earlier is not None and earlier.state.status != "done":
            sent += put_folder(shell, earlier.folder, f"{HOME}/workspace/runs/{earlier.folder.name}")
        put_file(shell, root / "afs.toml", f"{HOME}/workspace/afs.toml")
        put_file(shell, self.file, f"{HOME}/job.toml")
        return sent + 2

    def start(self, shell: Shell) -> None:
        """Start it unless it runs or has ended already."""
        script = _RUN.format(home=HOME, setup=self.setup, python=self.python)
        begin = (
            f"cd {HOME} && if [ ! -e exit ] && ! {{ [ -s pid ] && kill -0 $(cat pid) 2>/dev/null; }}; then "
            f"printf %s {shlex.quote(script)} > run.sh; "
            "setsid nohup sh run.sh >> log.txt 2>&1 < /dev/null & echo $! > pid; fi"
        )
        done = shell.run(begin)
        if done.rc:
            raise ProviderError(f"the job did not start: {done.problem}")

    def poll(self, shell: Shell) -> int | None:
        """Show the machine that somebody watches; the job's exit status once it has ended."""
        done = shell.run(f"touch {HOME}/heartbeat; cat {HOME}/exit 2>/dev/null || true")
        text = done.out.decode("utf-8", "replace").strip()
        return int(text) if text.isdigit() else None

    def log(self, shell: Shell, start: int, most: int = 1 << 16) -> bytes:
        """The next piece of what the job printed."""
        return shell.run(f"tail -c +{start + 1} {HOME}/log.txt 2>/dev/null | head -c {most}").out

    def pull_runs(self, shell: Shell) -> Fetched:
        """Events and checkpoints as they are now."""
        return pull_runs(self.workspace, shell)

    def fetch(self, shell: Shell, label: str) -> JobResult:
        """Everything the job made, verified; each new model takes its place at once."""
        if changing := self.pull_runs(shell).changing:
            raise DataError(f"{changing[0]}: changed while it was read, though the job has ended")
        staged = self.workspace.root / "cloud" / label / "models"
        kept = self.workspace.root / "models"
        if changing := get_folder(shell, f"{HOME}/workspace/models", staged, kept).changing:
            raise DataError(f"{changing[0]}: changed while it was read, though the job has ended")
        made, beside = [], []
        for manifest in sorted(staged.glob(f"*/*/{MANIFEST}")):
            name, version = manifest.parts[-3:-1]
            target = kept / name / version
            if target.exists():
                beside.append(str(manifest.parent))
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            jsonl.rename_folder(manifest.parent, target)
            artifacts.load(self.workspace, f"{name}@{version}")
            made.append(f"{name}@{version}")
        if not beside:
            shutil.rmtree(staged.parent, ignore_errors=True)
        shell.run(f"touch {HOME}/fetched")
        return JobResult(tuple(made), tuple(beside))


def pull_runs(workspace: Workspace, shell: Shell) -> Fetched:
    """Copy the runs of a machine's workspace here."""
    return get_folder(shell, f"{HOME}/workspace/runs", workspace.root / "runs")


def install_command(python: str) -> str:
    """Installs what the package needs to train; the package itself is sent as it is here."""
    wanted = {"msgspec"}
    for text in metadata.requires("afs-factory") or ():
        requirement, _, marker = text.partition(";")
        if not marker or any(f'extra == "{extra}"' in marker.replace("'", '"') for extra in _EXTRAS):
            wanted.add(requirement.strip())
    words = " ".join(shlex.quote(one) for one in sorted(wanted))
    return f"{python} -m pip install --quiet --root-user-action=ignore {words}"
