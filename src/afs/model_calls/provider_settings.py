"""`providers.toml` and `nodes.toml`: models by tier, chains, addresses, limits, prices, and machines of one's own.

Wherever a model is named, a name of these files may stand: a tier (`coding`), a chain, a provider of one's own
(`box:qwen3:14b`), or `nodes:qwen3:14b` for every node that has that model.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import msgspec

from afs import plugins
from afs.config import Config, Weight, decode, load_toml, to_table
from afs.errors import ConfigError
from afs.providers.endpoint import Price
from afs.types import Json

PROVIDERS = "providers.toml"
NODES = "nodes.toml"
ANY_NODE = "nodes"
PRESET = (
    "openai:o3-mini",
    "openai:gpt-5.2",
    "google:gemini-3-flash-preview",
    "anthropic:claude-haiku-4-5",
)
"""The models that `afs providers check --preset founding` calls beside the tiers fast, coding and reasoning."""
Count = Annotated[int, msgspec.Meta(ge=0)]


class ProviderSettings(Config, frozen=True, kw_only=True):
    """One table `[providers.NAME]`: a provider of ours under its own settings, or another address under a new name."""

    kind: str = ""
    """The provider whose wire format it speaks (`openai`, `anthropic`, `ollama` …); empty: the table's name."""
    base_url: str = ""
    """Address of the API; empty: the provider's own."""
    key_env: str = ""
    """Environment variable that holds the key."""
    timeout_s: Annotated[float, msgspec.Meta(gt=0)] = 120.0
    """Longest wait for an answer."""
    headers: dict[str, str] = {}
    """Further headers."""
    parameters: dict[str, Any] = {}
    """Fields put into every request as they stand."""
    price: Price | None = None
    """US dollars per million tokens of every model there."""
    project: str = ""
    """Account whose limits are shared: two keys of one project have one limit; empty: the key's variable."""
    requests_per_minute: Weight = 0.0
    """Limit of requests; 0: learned from headers and rejections."""
    tokens_per_minute: Weight = 0.0
    """Limit of tokens; 0: learned from headers."""
    concurrency: Count = 0
    """Most calls in flight; 0: what the campaign allows."""
    enabled: bool = True
    """Whether it may be called."""


class ModelSettings(Config, frozen=True, kw_only=True):
    """One table `[models."provider:model"]`."""

    price: Price | None = None
    """US dollars per million tokens."""
    ends: str = ""
    """The day the model is switched off, YYYY-MM-DD."""
    parameters: dict[str, Any] = {}
    """Fields put into every request as they stand."""


class BudgetSettings(Config, frozen=True, kw_only=True):
    """The table `[budget]`."""

    run_usd: float | None = None
    """Most that one run may cost; its own `budget_usd` comes first."""
    day_usd: float | None = None
    """Most that all campaigns, evaluations and judges of the workspace may cost together in a day (UTC)."""


class Providers(Config, frozen=True, kw_only=True):
    """The file `providers.toml`."""

    schema: int = 1
    """Version of the file's format."""
    tiers: dict[str, tuple[str, ...]] = {}
    """Models by tier (`fast`, `coding`, `reasoning`, `cheap`), in the order they are tried."""
    chains: dict[str, tuple[str, ...]] = {}
    """Further names for models in the order they are tried."""
    providers: dict[str, ProviderSettings] = {}
    """Providers by name."""
    models: dict[str, ModelSettings] = {}
    """Models by `provider:model`."""
    budget: BudgetSettings = BudgetSettings()
    """Caps for every run that calls models."""


class Node(Config, frozen=True, kw_only=True):
    """One table `[nodes.NAME]` of `nodes.toml`: a machine of one's own that serves models."""

    url: str
    """Address, such as `http://box:11434`."""
    kind: Literal["ollama", "lmstudio", "vllm", "openai"] = "ollama"
    """What runs there; `vllm` for every server of one's own with OpenAI's API."""
    models: tuple[str, ...] = ()
    """Models it serves; empty: whatever it is asked for."""
    prefer: tuple[str, ...] = ()
    """Tiers this node is the first choice of."""
    weight: Annotated[float, msgspec.Meta(gt=0)] = 1.0
    """Of the nodes with the same model, the heaviest is tried first."""
    concurrency: Annotated[int, msgspec.Meta(ge=1)] = 4
    """Most calls in flight."""
    key_env: str = ""
    """Environment variable that holds its key, if it wants one."""
    timeout_s: Annotated[float, msgspec.Meta(gt=0)] = 600.0
    """Longest wait for an answer."""
    enabled: bool = True
    """Whether it may be called."""


class Nodes(Config, frozen=True, kw_only=True):
    """The file `nodes.toml`."""

    schema: int = 1
    """Version of the file's format."""
    nodes: dict[str, Node] = {}
    """Nodes by name."""


class Route(NamedTuple):
    """A model to open: what to give to `providers.base.provider`, or the name of a stored model."""

    spec: str
    options: Json
    settings: ProviderSettings
    weight: float = 1.0

    @property
    def group(self) -> str:
        """Whose limits are shared."""
        return f"{self.settings.project or self.settings.key_env or self.settings.base_url}|{self.spec}"


def read_providers(root: Path) -> Providers:
    """The workspace's `providers.toml`, checked; every unknown table or key is an error."""
    return _providers(str(root / PROVIDERS), _stamp(root / PROVIDERS))


def read_nodes(root: Path) -> Nodes:
    """The workspace's `nodes.toml`, checked."""
    return _nodes(str(root / NODES), _stamp(root / NODES))


def _stamp(path: Path) -> float:
    return path.stat().st_mtime if path.exists() else 0.0


@lru_cache(maxsize=8)
def _providers(path: str, stamp: float) -> Providers:
    raw = load_toml(Path(path)) if stamp else {}
    _check_tables(raw, "providers", ProviderSettings, path)
    _check_tables(raw, "models", ModelSettings, path)
    settings = decode(Providers, raw, file=path)
    taken = {*plugins.TABLES["provider"], *settings.providers}
    for name, table in settings.providers.items():
        kind = table.kind or name
        if kind not in plugins.list_names("provider"):
            hint = plugins.suggest_name(kind, plugins.list_names("provider"))
            raise ConfigError(f"providers.{name}.kind", f"no provider speaks {kind!r}{hint}", file=path)
    for table_name, table_ in (("tiers", settings.tiers), ("chains", settings.chains)):
        for name, models in table_.items():
            if name in taken or (table_name == "chains" and name in settings.tiers):
                raise ConfigError(f"{table_name}.{name}", "this name is taken by a provider or a tier", file=path)
            if not models:
                raise ConfigError(f"{table_name}.{name}", "want at least one model", file=path)
    return settings


@lru_cache(maxsize=8)
def _nodes(path: str, stamp: float) -> Nodes:
    raw = load_toml(Path(path)) if stamp else {}
    _check_tables(raw, "nodes", Node, path)
    nodes = decode(Nodes, raw, file=path)
    for name in nodes.nodes:
        if name in plugins.TABLES["provider"] or name == ANY_NODE:
            raise ConfigError(f"nodes.{name}", "this name is taken by a provider", file=path)
    return nodes


def _check_tables(raw: Mapping[str, Any], what: str, kind: type[Config], path: str) -> None:
    """Each named table by itself, so that a problem is reported with the table's name."""
    tables = raw.get(what, {})
    for name, table in tables.items() if isinstance(tables, dict) else ():
        if isinstance(table, dict):
            decode(kind, table, file=path, prefix=f"{what}.{name}")


def is_chain(root: Path, spec: str) -> bool:
    """Whether a name stands for several models to try."""
    settings = read_providers(root)
    return spec in settings.tiers or spec in settings.chains or spec.partition(":")[0] == ANY_NODE


def routes(root: Path, spec: str, options: Mapping[str, object] = {}) -> tuple[Route, ...]:
    """The models a name stands for, in the order they are tried; nodes that prefer a tier come first."""
    return tuple(_expanded(root, spec, options, ()))


def _expanded(root: Path, spec: str, options: Mapping[str, object], path: tuple[str, ...]) -> list[Route]:
    settings, nodes = read_providers(root), read_nodes(root)
    if spec in path:
        raise ConfigError(
            spec, f"this chain comes back to itself ({' → '.join((*path, spec))})", file=str(root / PROVIDERS)
        )
    kind, colon, model = spec.partition(":")
    if kind == ANY_NODE and colon:
        return _on_nodes(root, model, options)
    models = settings.tiers.get(spec) or settings.chains.get(spec)
    if models is None:
        return [_single(root, spec, options)]
    preferred = [
        f"{name}:{model}"
        for name, node in nodes.nodes.items()
        if spec in node.prefer and node.enabled
        for model in node.models
    ]
    names = dict.fromkeys([*preferred, *models])
    found = [route for name in names for route in _expanded(root, name, options, (*path, spec))]
    usable = [route for route in found if route.settings.enabled]
    if not usable:
        raise ConfigError(spec, "every model of this chain is disabled", file=str(root / PROVIDERS))
    return usable


def _on_nodes(root: Path, model: str, options: Mapping[str, object]) -> list[Route]:
    """The nodes that have a model, the heaviest first."""
    nodes = read_nodes(root).nodes
    names = [name for name, node in nodes.items() if node.enabled and (model in node.models or not node.models)]
    if not names:
        known = {m for node in nodes.values() for m in node.models}
        raise ConfigError(
            ANY_NODE, f"no node has the model {model!r}{plugins.suggest_name(model, known)}", file=str(root / NODES)
        )
    names.sort(key=lambda name: -nodes[name].weight)
    return [_single(root, f"{name}:{model}", options) for name in names]


def _single(root: Path, spec: str, options: Mapping[str, object]) -> Route:
    settings, nodes = read_providers(root), read_nodes(root)
    name, colon, model = spec.partition(":")
    if colon and name in nodes.nodes:
        return _on_node(spec, nodes.nodes[name], model, options)
    own = settings.providers.get(name, ProviderSettings()) if colon else ProviderSettings()
    if colon and not own.enabled:
        raise ConfigError(f"providers.{name}.enabled", f"{spec} is disabled", file=str(root / PROVIDERS))
    special = settings.models.get(spec, ModelSettings())
    merged: dict[str, object] = {
        key: value
        for key, value in to_table(own).items()
        if key in ("base_url", "key_env", "headers", "timeout_s") and value and value != 120.0
    }
    if price := special.price or own.price:
        merged["price"] = to_table(price)
    if parameters := {**own.parameters, **special.parameters}:
        merged["parameters"] = parameters
    if own.kind and own.kind != name:
        merged["name"] = spec
    return Route(f"{own.kind or name}:{model}" if colon else spec, {**merged, **options}, own)


def _on_node(spec: str, node: Node, model: str, options: Mapping[str, object]) -> Route:
    address = node.url.rstrip("/")
    if node.kind != "ollama" and not address.endswith("/v1"):
        address += "/v1"
    own: dict[str, object] = {"base_url": address, "timeout_s": node.timeout_s, "name": spec}
    own["price"] = {"input": 0.0, "output": 0.0}
    if node.key_env:
        own["key_env"] = node.key_env
    kind = "vllm" if node.kind == "openai" else node.kind
    settings = ProviderSettings(
        concurrency=node.concurrency, base_url=address, enabled=node.enabled, key_env=node.key_env
    )
    return Route(f"{kind}:{model}", {**own, **options}, settings, node.weight)
