"""The tree of errors, and the one place where a foreign exception becomes ours.

    AfsError                 something the user can act on; `exit_code` 1
    ├── UsageError           2: the command or a config is wrong
    │   └── ConfigError      file, field, what was given, what is wanted
    ├── WorkspaceError       no workspace, a newer schema, a moved or locked one
    ├── DataError            a file or a record that cannot be read, with its place
    ├── ProviderError        a language model could not answer (an outage, never a verdict)
    ├── ProcessError         a child program died, hung or passed its limits
    ├── MissingError         an optional part is not installed; says the command that gets it
    │   └── NoWallsError     this machine has no sandbox, so foreign code is not run: the check answers unknown
    ├── RefusedError         3: a gate or a check said no
    ├── PreemptedError       75: stopped from outside after saving; rerun to resume
    └── StoppedError         130: the user stopped it

A wrong answer, a bad record and a failed check are data (`Verdict`, `Dropped`), not errors.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class AfsError(Exception):
    """What happened, where, and what to do; the message is printed unchanged."""

    exit_code = 1


class UsageError(AfsError):
    """The command line is wrong."""

    exit_code = 2


class ConfigError(UsageError):
    """A config value is wrong: names the file, the field, what was given and what is wanted."""

    def __init__(self, field: str, problem: str, *, file: str = "", hint: str = "") -> None:
        self.field, self.problem, self.file, self.hint = field, problem, file, hint
        where = f"{file}: {field}" if file and field else file or field
        super().__init__(f"{where}: {problem}" + (f" ({hint})" if hint else ""))


class WorkspaceError(AfsError):
    """The workspace is missing, locked, moved or of a newer schema."""


class DataError(AfsError):
    """A file or record cannot be read; the message names the place."""


class ProviderError(AfsError):
    """A language model could not answer."""


class ProcessError(AfsError):
    """A child program died, hung or passed its limits."""


class MissingError(AfsError):
    """An optional part is missing; the message holds the command that gets it."""


class NoWallsError(MissingError):
    """No sandbox stands on this machine, and foreign code is never run without one."""


class RefusedError(AfsError):
    """A gate or a check said no."""

    exit_code = 3


class PreemptedError(AfsError):
    """Stopped from outside after saving; rerun to resume."""

    exit_code = 75


class StoppedError(AfsError):
    """The user stopped the work."""

    exit_code = 130


@contextmanager
def boundary(kind: type[AfsError], what: str) -> Iterator[None]:
    """Turn any foreign exception inside into `kind`, naming the culprit."""
    try:
        yield
    except AfsError:
        raise
    except Exception as error:
        detail = str(error).strip() or type(error).__name__
        raise kind(f"{what}: {detail}") from error
