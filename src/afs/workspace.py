"""One folder that holds everything: names, versions, locks. Files are the truth; all paths inside are relative.

afs.toml  providers.toml  nodes.toml  registry.toml
records/NAME/VERSION/  datasets/NAME/VERSION/  models/NAME/VERSION/  reports/NAME/VERSION/
runs/RUN/  cache/  events/
"""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import msgspec

from afs import jsonl
from afs.checks.check_parser import NamedChecks
from afs.config import Config, Plugin, decode, load_toml
from afs.errors import UsageError, WorkspaceError
from afs.events import EventLog
from afs.manifests import M, read_manifest
from afs.plugins import suggest_name
from afs.types import Ref, RefKind, Value

SCHEMA = 1
FOLDER_OF: Mapping[str, str] = {
    "records": "records",
    "dataset": "datasets",
    "artifact": "models",
    "router": "models",
    "report": "reports",
}
"""Kind of thing -> its folder in the workspace."""
MANIFEST = "manifest.json"
_NEW_SETTINGS = """# Settings of this workspace. Every field and its default: docs/reference/settings.md
schema = 1
"""


class CouncilSettings(Config, frozen=True, kw_only=True):
    """Who answers when no expert fits, and which experts are members."""

    use: str = ""
    """A stored council (`afs council store`) that answers, by name or version; empty: today's champions."""
    experts: tuple[str, ...] = ()
    """Names of registered experts in the council; empty: all with a champion."""
    fallback: str = ""
    """Who answers when the router abstains: a registered name, an artifact or a model; empty: the experts' base."""
    router: str = ""
    """Router artifact or registered name; `keywords:ROSTER` for a roster's keyword tables; `llm:fast` for a tier or a
    model that classifies; empty: the newest artifact that lost no end-to-end gate."""
    repairs: int = 0
    """How often a refuted answer goes back to its expert with the reason; at most 2."""
    tools: Literal["off", "prefetch", "steps"] = "off"
    """prefetch: facts about a question are looked up and put before the model; steps: the model may call tools too."""
    served_by: dict[str, str] = {}
    """Experts that a machine of `nodes.toml` serves, by name: `box:din`, or `nodes:din` for every node with it."""
    most_loaded: Annotated[int, msgspec.Meta(ge=0)] = 0
    """Models in memory at once on this machine; the one unused longest makes room for the next. 0: all."""
    log: Literal["rated", "all", "off"] = "rated"
    """Conversations kept: those a user rates, all, or none. Routes are logged by hash, but for `off`."""


class Settings(Config, frozen=True, kw_only=True):
    """The file `afs.toml`."""

    schema: int = SCHEMA
    """Version of the workspace's layout."""
    seed: int = 0
    """Default seed of everything random."""
    jobs: int = 0
    """Worker processes for verification, curation and the steps of a recipe that may run beside each other; 0: one per
    core."""
    council: CouncilSettings = CouncilSettings()
    """The council that `ask` and `serve` use."""
    checks: dict[str, str | Plugin] = {}
    """Checks by name, for `check = "NAME"` anywhere: a command such as `pytest -q {file}`, or a table."""
    allow_unlicensed: tuple[str, ...] = ()
    """Sources whose records may be exported although their license is unknown."""


class LockHolder(Value, frozen=True, kw_only=True):
    """The process that holds a lock."""

    pid: int
    verb: str
    since: float


class SameVersion(Exception):  # noqa: N818  a signal, not a failure
    """Raised inside `new_version` when the newest version already holds this very result of this run."""


class Workspace:
    """An opened workspace."""

    ENVIRONMENT: ClassVar[str] = "AFS_WORKSPACE"

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        if not (self.root / "afs.toml").is_file():
            raise WorkspaceError(f"{root} is not a workspace; create one with: afs init {root}")
        table = load_toml(self.root / "afs.toml")
        schema = table.get("schema", SCHEMA)
        if isinstance(schema, int) and schema > SCHEMA:
            raise WorkspaceError(
                f"{self.root / 'afs.toml'}: the workspace has schema {schema}, this version reads schema {SCHEMA}; "
                "update with: pip install --upgrade afs-factory"
            )
        self.settings = decode(Settings, table, file=str(self.root / "afs.toml"))
        self.log = EventLog(self.root / "events" / "afs.jsonl", keep=5)

    @classmethod
    def create(cls, root: Path) -> Workspace:
        """Create a workspace, or open the existing one."""
        try:
            root.mkdir(parents=True, exist_ok=True)
            if not (root / "afs.toml").exists():
                jsonl.replace(root / "afs.toml", _NEW_SETTINGS.encode())
        except OSError as error:
            raise WorkspaceError(f"{root}: cannot create a workspace here: {error.strerror or error}") from error
        return cls(root)

    @classmethod
    def find(cls, folder: Path | None = None) -> Workspace:
        """The workspace named by flag or environment, else the nearest one in this folder or above."""
        named = folder or (Path(os.environ[cls.ENVIRONMENT]) if os.environ.get(cls.ENVIRONMENT) else None)
        if named is not None:
            return cls(named)
        here = Path.cwd()
        for place in (here, *here.parents):
            if (place / "afs.toml").is_file():
                return cls(place)
        raise WorkspaceError(
            f"no workspace in {here} or above; create one with `afs init`, or name one with --workspace DIR"
        )

    @property
    def named_checks(self) -> NamedChecks:
        """The checks of `afs.toml`, whose files lie in the workspace."""
        return NamedChecks(self.root, self.settings.checks)

    @property
    def jobs(self) -> int:
        """Worker processes to use."""
        return self.settings.jobs or len(os.sched_getaffinity(0))

    def _writable(self, folder: Path) -> Path:
        try:
            folder.mkdir(exist_ok=True)
        except OSError as error:
            raise WorkspaceError(f"{folder}: cannot write: {error.strerror or error}") from error
        return folder

    def folder(self, kind: RefKind) -> Path:
        """The folder of a kind of thing."""
        return self.root / FOLDER_OF[kind]

    def names(self, kind: RefKind) -> list[str]:
        """Every name of a kind that has a complete version."""
        folder = self.folder(kind)
        return sorted(p.name for p in folder.iterdir() if self.versions(kind, p.name)) if folder.is_dir() else []

    def versions(self, kind: RefKind, name: str) -> list[int]:
        """The complete versions of a name, oldest first."""
        folder = self.folder(kind) / name
        if not folder.is_dir():
            return []
        return sorted(int(p.name) for p in folder.iterdir() if p.name.isdigit() and (p / MANIFEST).is_file())

    def resolve(self, text: str, kind: RefKind) -> Ref:
        """The ref with its version filled in; the error for an unknown name suggests the nearest one."""
        try:
            ref = Ref.parse(text, kind)
        except ValueError as error:
            raise UsageError(str(error)) from error
        versions = self.versions(kind, ref.name)
        if not versions:
            verb = "are" if kind == "records" else "is"
            raise UsageError(f"no {kind} {verb} called {ref.name!r}{suggest_name(ref.name, self.names(kind))}")
        if ref.version and ref.version not in versions:
            raise UsageError(f"{ref.name} has no version {ref.version}; there are: {', '.join(map(str, versions))}")
        return msgspec.structs.replace(ref, version=ref.version or versions[-1])

    def path(self, ref: Ref) -> Path:
        """The folder of a resolved ref."""
        return self.folder(ref.kind) / ref.name / str(ref.version)

    def newest_of_run(self, kind: RefKind, name: str, run: str, type_: type[M]) -> M | None:
        """The newest version of a name when this run stored it: a run that was killed then has its result already."""
        versions = self.versions(kind, name) if run else []
        if not versions:
            return None
        value = read_manifest(self.folder(kind) / name / str(versions[-1]) / MANIFEST, type_)
        return value if getattr(value, "run", "") == run else None

    @contextmanager
    def new_version(self, kind: RefKind, name: str) -> Iterator[tuple[Ref, Path]]:
        """A staged folder that becomes the next version when the block succeeds; otherwise nothing is left.

        The block writes the manifest last. A folder staged by a killed process is removed by the next writer.
        """
        try:
            Ref.parse(name, kind)
        except ValueError as error:
            raise UsageError(f"cannot store under this name: {error}") from error
        parent = self.folder(kind) / name
        parent.mkdir(parents=True, exist_ok=True)
        with self.lock(f"{kind}-{name}", verb=f"write {name}"):
            for stale in parent.glob(".staged-*"):
                shutil.rmtree(stale)
            taken = [int(p.name) for p in parent.iterdir() if p.name.isdigit()]
            ref = Ref(kind=kind, name=name, version=max(taken, default=0) + 1)
            staged = parent / f".staged-{ref.version}"
            staged.mkdir()
            try:
                yield ref, staged
                if not (staged / MANIFEST).is_file():
                    raise WorkspaceError(f"{ref}: written without a manifest")
                jsonl.rename_folder(staged, parent / str(ref.version))
            except SameVersion:
                shutil.rmtree(staged, ignore_errors=True)
            except BaseException:
                shutil.rmtree(staged, ignore_errors=True)
                with suppress(OSError):
                    parent.rmdir()
                raise

    @contextmanager
    def lock(self, name: str, *, verb: str) -> Iterator[None]:
        """Hold a named lock of the workspace, or raise who holds it; the system frees it when the holder dies."""
        folder = self._writable(self.root / "cache")
        path = folder / f"{name}.lock"
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise WorkspaceError(
                    f"{name} is in use by {_holder(handle)}; wait for it to finish, or stop it"
                ) from error
            holder = LockHolder(pid=os.getpid(), verb=verb, since=time.time())
            os.truncate(handle, 0)
            os.pwrite(handle, msgspec.json.encode(holder), 0)
            yield
        finally:
            os.close(handle)


def _holder(handle: int) -> str:
    try:
        holder = msgspec.json.decode(os.pread(handle, 4096, 0), type=LockHolder)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return "another process"
    since = time.strftime("%H:%M:%S", time.localtime(holder.since))
    return f"process {holder.pid} (`{holder.verb}`, since {since})"
