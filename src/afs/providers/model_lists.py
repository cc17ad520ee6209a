"""What a server says it serves: the free list of its models, to name a misspelt one before anything is sent."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from afs.errors import ProviderError
from afs.providers.base import Provider
from afs.providers.endpoint import Api
from afs.providers.failures import CallError


def listed_models(provider: Provider) -> tuple[str, ...]:
    """The names in a server's list; empty when it has none that says anything.

    Servers of one's own with OpenAI's API have no path here: many answer whatever name they are asked for.
    """
    api, path = getattr(provider, "api", None), str(getattr(provider, "models_path", ""))
    if not isinstance(api, Api) or not path:
        return ()
    try:
        body = api.get(path).body
    except CallError as error:
        if error.status == 401:
            raise
        return ()
    except ProviderError:
        return ()
    return read_names(body)


def read_names(body: Mapping[str, Any]) -> tuple[str, ...]:
    """The names in a server's answer, whichever API it has."""
    rows = body.get("data") or body.get("models") or ()
    names = (row.get("id") or row.get("name") for row in rows if isinstance(row, dict))
    return tuple(str(name).removeprefix("models/") for name in names if name)


def is_listed(model: str, names: tuple[str, ...]) -> bool:
    """Whether a model is in a list, also by an alias of a dated name, a variant, or without its tag."""
    stem = model.partition(":")[0]
    dated = re.compile(re.escape(model) + r"[-@]\d[\d-]*")
    return any(name in (model, f"{model}:latest") or (name == stem != "") or dated.fullmatch(name) for name in names)


def is_same_model(asked: str, answered: str) -> bool:
    """Whether the model an answer names is the one that was asked; a server that names none is believed."""
    shorter = PurePosixPath(answered).name
    names = (answered, shorter, shorter.removesuffix(".gguf"))
    return not answered or PurePosixPath(asked).name in names or is_listed(asked, names)
