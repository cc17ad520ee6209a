"""Texts of agent sessions: what a person typed, what a program inserted, and terminal codes that are no text at all."""

from __future__ import annotations

import re

_BLOCKS = re.compile(
    r"<(system-reminder|ide_opened_file|ide_selection|ide_diagnostics|user-prompt-submit-hook)\b[^>]*>.*?</\1>\s*",
    re.S,
)
"""Blocks that programs add to a person's message."""
_EDITOR_CONTEXT = re.compile(r"\s*# Context from my IDE setup:.*\n## My request for [^\n]{1,40}:\n", re.S)
"""What the Codex extension of an editor puts in front of a prompt: open files, the selection."""
_NOTICES = (
    "<task-notification",
    "<agent-notification",
    "<teammate-message",
    "<local-command-",
    "<bash-stdout",
    "<bash-stderr",
    "Caveat: The messages below",
    "This session is being continued from a previous conversation",
    "Your task is to create a detailed summary of the conversation",
    "Stop hook feedback",
    "PreToolUse:",
    "PostToolUse:",
    "UserPromptSubmit hook",
    "SessionStart:",
    "Base directory for this skill:",
    "<environment_context",
    "<user_instructions",
    "# AGENTS.md instructions",
    "<turn_aborted",
    "<permissions",
    "<collaboration_mode",
    "<INSTRUCTIONS",
    "<skill>",
    "<skills_instructions",
    "<subagent_notification",
    "<ide_context",
    "<session_context",
    "<state_snapshot",
    "# Context from my IDE setup:",
    "<environment_details",
    "<apps_instructions",
    "<plugins_instructions",
    "<model_switch",
    "<hook_prompt",
)
"""Beginnings of messages with the role `user` that no user wrote."""
_COMPACTION = (
    "Your task is to create a detailed summary of the conversation",
    "You are performing a CONTEXT CHECKPOINT",
)
_INTERRUPTED = ("[Request interrupted", "<turn_aborted")


def strip_editor_context(text: str) -> str:
    """A prompt without the context that an editor's extension put in front of it."""
    return text[match.end() :] if (match := _EDITOR_CONTEXT.match(text)) else text


def strip_insertions(text: str) -> str:
    """A person's message without the blocks that programs added to it."""
    return (_BLOCKS.sub("", text) if "<" in text else text).strip()


def is_notice(text: str) -> bool:
    """Whether a program wrote a message that carries the role `user`."""
    return text.lstrip().startswith(_NOTICES)


def is_interruption(text: str) -> bool:
    """Whether a message says that the user stopped the agent."""
    return text.lstrip().startswith(_INTERRUPTED)


def is_compaction(text: str) -> bool:
    """Whether a message asks a model to summarize its own conversation."""
    return text.lstrip().startswith(_COMPACTION)


def clip(text: str, limit: int) -> str:
    """A long text reduced to its head and tail."""
    if len(text) <= limit:
        return text
    head = limit * 2 // 3
    tail = max(0, limit - head)
    omitted = len(text) - head - tail
    return f"{text[:head]}\n[… {omitted} characters omitted …]\n{text[len(text) - tail :]}"
