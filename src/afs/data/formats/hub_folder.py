"""A Hugging Face datasets folder: `data/SIDE-….parquet` beside a `README.md`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from afs.data.formats.chat_rows import Messages


class Hub(Messages, frozen=True, kw_only=True):
    """`messages` as Parquet."""

    suffix: ClassVar[str] = ".parquet"
    names: ClassVar[Mapping[str, str]] = {"val": "validation", "all": "train"}
