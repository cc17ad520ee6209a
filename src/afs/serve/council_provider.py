"""The provider `council:` — the whole council as one model, so that it can be measured as any other is.

`council:` lets the router choose, `council:farore` asks that expert. Answers carry the name of who was heard, as the
gateway's do. No task is passed on: a measured council is not told how its answer will be checked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from afs.errors import ConfigError
from afs.providers.base import GREEDY, Sampling
from afs.registry import Registry
from afs.serve.ask_command import open_council
from afs.types import Completion, Message, Tool, digest
from afs.workspace import Workspace

NAME = "council"


class SittingCouncil:
    """The council of the workspace named in the options."""

    def __init__(self, model: str, options: Mapping[str, object] = {}) -> None:
        place = options.get("workspace")
        if not place:
            raise ConfigError("workspace", "a council is its workspace's: name the folder")
        workspace = Workspace(Path(str(place)))
        self.expert = model
        self.name = f"{NAME}:{model}" if model else NAME
        self.council = open_council(workspace)
        registry = Registry(workspace)
        members = [(name, registry.resolve(name).digest) for name in self.council.experts]
        self.digest = digest((members, workspace.settings.council, model))
        """Digest of every member's files; another champion is another council."""

    def complete(
        self, messages: Sequence[Message], sampling: Sampling = GREEDY, tools: Sequence[Tool] = ()
    ) -> Completion:
        """The answer that is heard, sampled as it was asked for."""
        reply = self.council.ask(messages, expert=self.expert, sampling=sampling)
        who = f"{NAME}/{reply.expert}" if reply.expert else NAME
        return msgspec.structs.replace(reply.completion, model=who)
