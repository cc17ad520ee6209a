"""The filters, run as the kernel runs them: which calls pass, with which arguments, on both architectures."""

from __future__ import annotations

import errno
import struct
import termios

import pytest

from afs.sandbox import SandboxLimits, policy, seccomp_filters, syscalls

ALLOW, KILL = 0x7FFF0000, 0x80000000


def verdict(code: bytes, architecture: str, call: str | int, *arguments: int) -> int:
    """What the program returns for one call: 0 allowed, an error number, or -1 for an end of the process."""
    known = {
        name: number for group in syscalls._TABLE for name, number in syscalls.numbers(group, architecture).items()
    }
    number = known[call] if isinstance(call, str) else call
    filled = [*arguments, *[0] * (6 - len(arguments))]
    data = struct.pack("<IIQ6Q", number, syscalls.MACHINES[architecture], 0, *filled)
    at, value = 0, 0
    while True:
        operation, yes, no, operand = struct.unpack_from("<HBBI", code, at * 8)
        at += 1
        match operation:
            case 0x20:
                value = struct.unpack_from("<I", data, operand)[0]
            case 0x54:
                value &= operand
            case 0x15:
                at += yes if value == operand else no
            case 0x25:
                at += yes if value > operand else no
            case 0x35:
                at += yes if value >= operand else no
            case 0x06:
                return 0 if operand == ALLOW else -1 if operand == KILL else operand & 0xFFFF


@pytest.mark.parametrize("architecture", syscalls.MACHINES)
def test_what_passes(architecture: str) -> None:
    program = seccomp_filters.program(frozenset(), architecture)
    command = seccomp_filters.program(policy.groups("bubblewrap", SandboxLimits(processes=9), 7), architecture)
    confined = seccomp_filters.program(policy.groups("landlock", SandboxLimits(processes=9), 5), architecture)

    def all_three(call: str | int, *arguments: int) -> list[int]:
        return [verdict(code, architecture, call, *arguments) for code in (program, command, confined)]

    denied = errno.EPERM
    assert all_three("read") == [0, 0, 0]
    assert all_three("execve") == [denied, 0, 0]
    assert all_three("clone", 17) == [denied, 0, 0], "a process"
    assert all_three("clone", 0x3D0F00) == [0, 0, 0], "a thread"
    assert all_three("clone", 0x10000000 | 17) == all_three("clone", 0x10000000 | 0x3D0F00) == [denied] * 3
    assert all_three("clone3") == [errno.ENOSYS] * 3
    assert all_three("kill") == [denied, 0, denied], "an old Landlock does not keep signals inside"
    assert all_three("setsid") == all_three("fchmodat") == all_three("utimensat") == [denied, 0, denied]
    for bits in (0o4000, 0o2000, 0o6755, 0o4755, 0o2755):
        assert all_three("fchmodat", 0, 0, bits) == all_three("fchmod", 0, bits) == [denied] * 3
    for bits in (0o1777, 0o777, 0o755, 0):
        assert all_three("fchmodat", 0, 0, bits) == all_three("fchmod", 0, bits) == [denied, 0, denied]
    assert all_three("openat", 0, 0, 0o1101) == all_three("openat", 0, 0, 0) == [0, 0, 0]
    for flags in (0o1000, 0o1003, 0o3):
        assert all_three("openat", 0, 0, flags) == [denied] * 3
    for request in ("TCGETS", "TIOCGPGRP", "TIOCGWINSZ", "FIONREAD", "FIONBIO", "FIONCLEX", "FIOCLEX"):
        assert all_three("ioctl", 0, getattr(termios, request)) == [0, 0, 0], request
    for request in ("TIOCSTI", "TIOCSPGRP", "TIOCLINUX", "TIOCSCTTY", "TIOCSETD"):
        assert all_three("ioctl", 0, getattr(termios, request)) == [denied] * 3, request
    assert all_three("ioctl", 0, 0x5412) == all_three("ioctl", 0, 0x100005412) == [denied] * 3
    assert all_three("fcntl", 0, 8) == all_three("fcntl", 0, 10) == all_three("fcntl", 0, 15) == [denied] * 3
    assert all_three("prlimit64", 0) == [0, 0, 0] and all_three("prlimit64", 1) == [denied] * 3
    assert all_three("socketpair", 1, 1 | 0o2000000) == [0, 0, 0] and all_three("socketpair", 1, 2) == [denied] * 3
    assert all_three(0x40000000) == [denied] * 3
    assert all_three(syscalls.NEWEST + 1) == [errno.ENOSYS] * 3


def test_another_architecture_is_the_end() -> None:
    code = seccomp_filters.program(frozenset(), "aarch64")
    data = struct.unpack_from("<HBBI", code, 8)
    assert data[3] == syscalls.MACHINES["aarch64"]
    assert struct.unpack_from("<HBBI", code, 16)[3] == KILL
