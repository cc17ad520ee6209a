"""Arguments for another library, checked against what is installed before anything is loaded or rented.

Names that were renamed in the last years are mapped, so that the same recipe runs on either side of the change; what
the installed version does not know is refused with the nearest name.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping

from afs.errors import ConfigError
from afs.plugins import suggest_name

RENAMED: Mapping[str, str] = {
    "evaluation_strategy": "eval_strategy",
    "max_seq_length": "max_length",
    "group_by_length": "train_sampling_strategy",
    "no_cuda": "use_cpu",
    "warmup_ratio": "warmup_steps",
    "gradient_checkpointing": "activation_checkpointing",
    "include_inputs_for_metrics": "include_for_metrics",
    "tokenizer": "processing_class",
}
"""Old name -> new name; used in whichever direction the installed version wants."""
_BACK = {new: old for old, new in RENAMED.items()}


def accepted_names(target: Callable[..., object]) -> frozenset[str]:
    """Argument names of a class or function."""
    return frozenset(inspect.signature(target).parameters) - {"self", "kwargs", "args"}


def callable_name(target: Callable[..., object]) -> str:
    return str(getattr(target, "__name__", target))


def check_arguments(target: Callable[..., object], wanted: Mapping[str, object]) -> dict[str, object]:
    """The arguments under the names the installed version knows, or an error that names the one it does not."""
    known = accepted_names(target)
    found: dict[str, object] = {}
    for name, value in wanted.items():
        choice = next((n for n in (name, RENAMED.get(name), _BACK.get(name)) if n in known), None)
        if choice is None:
            raise ConfigError(
                f"{callable_name(target)}.{name}",
                f"the installed version has no such argument{suggest_name(name, known)}",
            )
        if choice in found:
            raise ConfigError(f"{callable_name(target)}.{choice}", f"given twice, also as {name!r}")
        found[choice] = value
    return found
