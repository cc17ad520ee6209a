"""Code that is named by a string, `module:name`, and imported when it is first used.

It imports nothing slow itself, so that a command may start without the rest of the program.
"""

from __future__ import annotations

import importlib
from typing import Final, Generic, TypeVar, cast

from afs.errors import MissingError

T = TypeVar("T")

FAST_COMMANDS: Final = {"snes asm": "afs.domains.snes.file_assembler:COMMAND"}
"""Commands that must start fast: an `OptionList` each. The command line reads simple words without msgspec."""

EXTRA_OF: Final = {
    "torch": "train",
    "transformers": "train",
    "trl": "train",
    "peft": "train",
    "accelerate": "train",
    "datasets": "train",
    "bitsandbytes": "train",
    "tensorboard": "train",
    "gguf": "gguf",
    "safetensors": "gguf",
    "tokenizers": "gguf",
    "jinja2": "gguf",
    "pyarrow": "parquet",
    "starlette": "serve",
    "uvicorn": "serve",
    "xllamacpp": "serve",
    "mcp": "mcp",
    "mcp_types": "mcp",
    "inspect_ai": "eval",
    "openai": "eval",
    "sacrebleu": "eval",
    "PIL": "eval",
    "pyte": "eval",
    "playwright": "eval",
    "huggingface_hub": "hub",
    "yaml": "train",
    "ray": "ray",
}
"""Third-party package -> our extra that installs it."""


def load(target: str) -> object:
    """The object at `module:attribute`; a missing extra becomes a command that installs it."""
    module, _, name = target.partition(":")
    try:
        return getattr(importlib.import_module(module), name)
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing in EXTRA_OF:
            raise missing_extra(missing) from error
        raise


def missing_extra(package: str) -> MissingError:
    """The error for a package that no installed extra brought."""
    return MissingError(f"this needs {package}: pip install 'afs-factory[{EXTRA_OF[package]}]'")


class Late(Generic[T]):
    """What is imported when it is first used, with its type: `Late[Callable[[str], int]]("module:function").load()`."""

    def __init__(self, target: str) -> None:
        self.target = target

    def load(self) -> T:
        """The object itself."""
        return cast(T, load(self.target))
