"""Seccomp filters as BPF programs: a list of what is allowed, some of it only with certain arguments.

Only data: the script inside the walls installs them. A call of another architecture kills the process; an unlisted
call fails with "operation not permitted".
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Iterator
from typing import NamedTuple

from afs.sandbox import syscalls

_LOAD, _EQUAL, _GREATER, _AT_LEAST, _AND, _RETURN = 0x20, 0x15, 0x25, 0x35, 0x54, 0x06
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16
_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_X32 = 0x40000000
_ALL = 0xFFFFFFFF

_NEW_NAMESPACES = 0x7E020000
_THREAD = 0x00010000
_OPEN_MODE = 0o1003
_ODD_OPENS = (0o1000, 0o1003, 0o0003)
"""Truncation without the right to write, and the mode that is neither: older Landlocks look at neither of them."""
_SET_ID = 0o6000
_TERMINAL_READS = (0x5401, 0x540F, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451)
"""TCGETS TIOCGPGRP TIOCGWINSZ FIONREAD FIONBIO FIONCLEX FIOCLEX: nothing that types into a terminal."""
_SIGNAL_OWNERS = (8, 10, 15)
"""F_SETOWN F_SETSIG F_SETOWN_EX: they have the kernel send a signal to any process."""


class ArgumentRule(NamedTuple):
    """A call decided by one argument: (argument & mask) is among `values`, or is none of them."""

    call: str
    argument: int
    mask: int
    values: tuple[int, ...]
    allowed: bool = True


_ALWAYS = (
    ArgumentRule("open", 1, _OPEN_MODE, _ODD_OPENS, allowed=False),
    ArgumentRule("openat", 2, _OPEN_MODE, _ODD_OPENS, allowed=False),
    ArgumentRule("fcntl", 1, _ALL, _SIGNAL_OWNERS, allowed=False),
    ArgumentRule("ioctl", 1, _ALL, _TERMINAL_READS),
    ArgumentRule("prlimit64", 0, _ALL, (0,)),
    ArgumentRule("socketpair", 1, 0xF, (1,)),
)
_MODES = (
    ArgumentRule("chmod", 1, _SET_ID, (0,)),
    ArgumentRule("fchmod", 1, _SET_ID, (0,)),
    ArgumentRule("fchmodat", 2, _SET_ID, (0,)),
)
_FORKS = ArgumentRule("clone", 0, _NEW_NAMESPACES, (0,))
_THREADS = ArgumentRule("clone", 0, _NEW_NAMESPACES | _THREAD, (_THREAD,))


def program(groups: frozenset[str], architecture: str) -> bytes:
    """The filter that allows the base calls and these groups; without `processes` only threads can be started."""
    guards = _ALWAYS + (_MODES if "times" in groups else ()) + ((_FORKS,) if "processes" in groups else (_THREADS,))
    known = syscalls.numbers("guarded", architecture)
    code = [*_head(architecture), *_refuse(known["clone3"], errno.ENOSYS)]
    for number in syscalls.numbers("attributes", architecture).values():
        code += _refuse(number, errno.EOPNOTSUPP)
    for group in ("base", *sorted(groups)):
        for number in syscalls.numbers(group, architecture).values():
            code += [_step(_EQUAL, number, no=1), _step(_RETURN, _ALLOW)]
    for guard in guards:
        if guard.call in known:
            code += _guarded(guard, known[guard.call])
    return b"".join([*code, _step(_RETURN, _ERRNO | errno.EPERM)])


def _step(operation: int, value: int, *, yes: int = 0, no: int = 0) -> bytes:
    return struct.pack("<HBBI", operation, yes, no, value)


def _refuse(number: int, error: int) -> Iterator[bytes]:
    yield _step(_EQUAL, number, no=1)
    yield _step(_RETURN, _ERRNO | error)


def _head(architecture: str) -> Iterator[bytes]:
    yield _step(_LOAD, _ARCHITECTURE)
    yield _step(_EQUAL, syscalls.MACHINES[architecture], yes=1)
    yield _step(_RETURN, _KILL)
    yield _step(_LOAD, _NUMBER)
    yield _step(_AT_LEAST, _X32, no=1)
    yield _step(_RETURN, _ERRNO | errno.EPERM)
    yield _step(_GREATER, syscalls.NEWEST, no=1)
    yield _step(_RETURN, _ERRNO | errno.ENOSYS)


def _guarded(guard: ArgumentRule, number: int) -> Iterator[bytes]:
    """Only the argument's low half counts: the kernel reads these as 32-bit values."""
    listed, other = (_ALLOW, _ERRNO | errno.EPERM) if guard.allowed else (_ERRNO | errno.EPERM, _ALLOW)
    body = [_step(_LOAD, _ARGUMENTS + 8 * guard.argument), _step(_AND, guard.mask)]
    for value in guard.values:
        body += [_step(_EQUAL, value, no=1), _step(_RETURN, listed)]
    body.append(_step(_RETURN, other))
    yield _step(_EQUAL, number, no=len(body))
    yield from body
