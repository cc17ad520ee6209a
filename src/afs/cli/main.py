"""The command `afs`. What it needs loads late: a fast command starts without the rest of the program."""

from __future__ import annotations

import errno
import importlib
import os
import sys
from collections.abc import Callable, Sequence

from afs.cli.argument_parser import sort_words
from afs.cli.plain_output import print_own_text, print_problem
from afs.command_options import OptionList, kinds, read_options
from afs.errors import AfsError
from afs.lazy_import import FAST_COMMANDS, Late

_run_any = Late[Callable[[list[str]], int]]("afs.cli.command_runner:run")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        return run(words)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 1
    except AfsError as error:
        print_problem(str(error))
        return error.exit_code
    except OSError as error:
        if error.errno not in _MACHINE:
            raise
        place = f"{error.filename}: " if error.filename else ""
        print_problem(f"{place}{error.strerror}; {_MACHINE[error.errno]}")
        return 1
    except MemoryError:
        print_problem(_MEMORY)
        return 1
    except ImportError as error:
        if "failed to map segment" not in str(error):
            raise
        print_problem(_MEMORY)
        return 1
    except _database_errors() as error:
        print_problem(f"a database of the workspace cannot be used: {error}; {_ROOM}")
        return 1
    except KeyboardInterrupt:
        print_problem("stopped")
        return 130


def _database_errors() -> tuple[type[Exception], ...]:
    """What a database may raise, if one was opened: the module is slow to import."""
    loaded = sys.modules.get("sqlite3")
    return (loaded.Error,) if loaded else ()


_MEMORY = "out of memory; stored data is intact: give the command more memory, or fewer --jobs"
_ROOM = "stored data is intact: free some space and run the same command again"
_RIGHTS = "this user lacks permission"
_FILES = "raise the limit with `ulimit -n 1024`"
_MACHINE = {
    errno.ENOSPC: _ROOM,
    errno.EDQUOT: _ROOM,
    errno.EFBIG: "files of this size are not allowed here: raise the limit with `ulimit -f unlimited`",
    errno.EACCES: _RIGHTS,
    errno.EPERM: _RIGHTS,
    errno.EROFS: "the file system is read-only",
    errno.EMFILE: _FILES,
    errno.ENFILE: _FILES,
    errno.ENOMEM: "give the command more memory, or fewer --jobs",
    errno.EIO: "the disk reports an error",
}
"""Problems that only the machine's owner can fix, and how."""


def run(words: list[str]) -> int:
    """Run one command line; usage errors are raised."""
    code = _run_fast(words)
    if code is not None:
        return code
    _import_msgspec()
    return _run_any.load()(words)


def _import_msgspec() -> None:
    """Import msgspec without typing_extensions: `typing` has all that it takes from there, in half the time."""
    name = "typing_extensions"
    if name in sys.modules or "msgspec" in sys.modules:
        return
    sys.modules[name] = None  # type: ignore[assignment]  # its import fails, and msgspec turns to typing
    try:
        importlib.import_module("msgspec")
    finally:
        del sys.modules[name]


def _run_fast(words: list[str]) -> int | None:
    """Run a fast command whose words are all simple; None for every other command line."""
    target = FAST_COMMANDS.get(" ".join(words[:2]))
    if target is None:
        return None
    command = Late[OptionList](target).load()
    try:
        given = sort_words(words[2:], kinds(command), command.short, has_files=True)
    except AfsError:
        return None
    given.flags.pop("quiet", None)
    options = None if given.files else read_options(command, given.plain, given.flags)
    if options is None:
        return None
    print_own_text(command.run(**options))
    return 0


if __name__ == "__main__":
    sys.exit(main())
