"""The provider `council:`: the whole council as one model, so that it can be evaluated like any other.

`council:` lets the router choose, `council:farore` asks that expert; the option `stored` names a stored council.
`Completion.model` names the expert that answered.
No task is passed: a council under evaluation must not know how its answer will be checked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from afs.council.council_setup import open_council
from afs.council.stored_council import load_council
from afs.errors import ConfigError
from afs.providers.base import GREEDY, Sampling
from afs.types import Completion, Message, Tool, digest
from afs.workspace import Workspace

NAME = "council"


class CouncilProvider:
    """The council of the workspace given in the options."""

    def __init__(self, model: str, options: Mapping[str, object] = {}) -> None:
        place = options.get("workspace")
        if not place:
            raise ConfigError("workspace", "want the folder of the workspace whose council this is")
        workspace = Workspace(Path(str(place)))
        self.expert = model
        self.name = f"{NAME}:{model}" if model else NAME
        stored = str(options.get("stored") or workspace.settings.council.use)
        self.council = open_council(workspace, stored, checks=False)
        self.digest = digest((sorted(self.council.artifacts.items()), workspace.settings.council, model))
        """Changes whenever a member's files do: with another champion it is another council."""
        if stored:
            self.digest = load_council(workspace, stored)[0].digest

    def complete(
        self, messages: Sequence[Message], sampling: Sampling = GREEDY, tools: Sequence[Tool] = ()
    ) -> Completion:
        """The council's answer under these sampling settings."""
        reply = self.council.ask(messages, expert=self.expert, sampling=sampling, tools=tools)
        who = f"{NAME}/{reply.expert}" if reply.expert else NAME
        return msgspec.structs.replace(reply.completion, model=who, answered_by=who)
