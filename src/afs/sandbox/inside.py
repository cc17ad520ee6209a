"""What runs inside the walls: it raises the last of them round itself, then becomes the program, or serves programs.

Never imported: its text is handed to an interpreter with -I -S, so it may use the standard library only. Whatever goes
wrong before the program starts is written to the status pipe and ends it: nothing ever runs with fewer walls.
"""

import ctypes
import json
import os
import resource
import signal
import struct
import sys

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
READ, READ_ON_FILE, READ_DIRECTORY, WRITE_FILE = 0b1101, 0b101, 1 << 3, 1 << 1
WRITE = WRITE_FILE | 1 << 4 | 1 << 5 | 1 << 7 | 1 << 8  # remove directory, remove file, make directory, make file
REFER, TRUNCATE = 1 << 13, 1 << 14
LIBC = ctypes.CDLL(None, use_errno=True)


def checked(what: str, result: int) -> int:
    if result < 0:
        raise OSError(ctypes.get_errno(), what)
    return result


def restrict_files(policy: dict) -> None:  # type: ignore[type-arg]
    """Landlock: only the named paths exist as far as reading and writing go; no TCP, no signals to others."""
    abi = policy["abi"]
    handled = (1 << 13) - 1 | (REFER if abi >= 2 else 0) | (TRUNCATE if abi >= 3 else 0) | (1 << 15 if abi >= 5 else 0)
    fields = [handled, *([3] if abi >= 4 else []), *([3] if abi >= 6 else [])]
    attributes = struct.pack(f"<{len(fields)}Q", *fields)
    ruleset = checked("Landlock", LIBC.syscall(CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), 0))
    for path in policy["listable"]:
        allow(ruleset, path, READ_DIRECTORY)
    for path in policy["readable"]:
        allow(ruleset, path, READ)
    for path in policy["devices"]:
        allow(ruleset, path, READ_ON_FILE | WRITE_FILE)
    for path in policy["writable"]:
        allow(ruleset, path, (READ | WRITE | REFER | TRUNCATE) & handled)
    checked("Landlock", LIBC.syscall(RESTRICT_SELF, ruleset, 0))
    os.close(ruleset)


def allow(ruleset: int, path: str, rights: int) -> None:
    handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
    if not os.path.isdir(path):
        rights &= READ_ON_FILE | WRITE_FILE
    rule = struct.pack("<Qi", rights, handle)
    checked(path, LIBC.syscall(ADD_RULE, ruleset, 1, rule, 0))
    os.close(handle)


def limit(limits: dict[str, int]) -> None:
    for name, value in limits.items():
        kind = getattr(resource, "RLIMIT_" + name)
        most = resource.getrlimit(kind)[1]  # what `ulimit` set already may be lower
        hard = value + (name == "CPU") if most == resource.RLIM_INFINITY else min(value + (name == "CPU"), most)
        resource.setrlimit(kind, (min(value, hard), hard))


def filter_calls(program: str) -> None:
    code = bytes.fromhex(program)
    text = ctypes.create_string_buffer(code, len(code))
    header = struct.pack("<H6xQ", len(code) // 8, ctypes.addressof(text))
    checked("seccomp", LIBC.prctl(22, ctypes.c_ulong(2), header, ctypes.c_ulong(0), ctypes.c_ulong(0)))


def main() -> None:
    policy = json.loads(sys.argv[1])
    status = policy["status"]
    try:
        os.set_inheritable(status, False)
        if policy["die_with_parent"]:
            LIBC.prctl(1, ctypes.c_ulong(signal.SIGKILL), *[ctypes.c_ulong(0)] * 3)
        checked("no new privileges", LIBC.prctl(38, *map(ctypes.c_ulong, (1, 0, 0, 0))))
        os.chdir(policy["folder"])
        restrict_files(policy)
        if not policy["serves"]:
            limit(policy["limits"])
        filter_calls(policy["filter"])
        os.write(status, b"ready")
        if policy["serves"]:
            os.close(status)
            serve(policy)
        else:
            os.execvpe(policy["argv"][0], policy["argv"], policy["environment"])
    except BaseException as error:  # noqa: BLE001  afs reads it, and nothing runs
        os.write(status, f" {type(error).__name__}: {error}".encode())
        os._exit(126)


def serve(policy: dict) -> None:  # type: ignore[type-arg]
    """A fork server: each program is a fresh process that can start no other; its pipes come over the socket."""
    import gc
    import select
    import socket

    for name in policy["preload"]:
        __import__(name)
    control = socket.socket(fileno=os.dup(0))
    gc.freeze()
    while True:
        head, pipes, _, _ = socket.recv_fds(control, 8, 3)
        if len(head) < 8:
            os._exit(0)
        length, cpu_s = struct.unpack("<II", head)
        source = control.recv(length, socket.MSG_WAITALL)
        child = os.fork()
        if not child:
            control.close()
            policy["limits"]["CPU"] = cpu_s
            become(policy, source, pipes)
        for pipe in pipes:
            os.close(pipe)
        handle = os.pidfd_open(child)
        poll = select.poll()
        poll.register(handle, select.POLLIN)
        poll.register(control, select.POLLRDHUP)
        if handle not in dict(poll.poll()):
            os.kill(child, signal.SIGKILL)
            os._exit(0)
        os.close(handle)
        _, ended = os.waitpid(child, 0)
        control.sendall(struct.pack("<i", os.waitstatus_to_exitcode(ended)))


def become(policy: dict, source: bytes, pipes: list[int]) -> None:  # type: ignore[type-arg]
    """The fresh process: pipes in place, limits, a filter without fork and exec; then the program as __main__."""
    import types

    code = 1
    try:
        for target, pipe in enumerate(pipes):
            os.dup2(pipe, target)
        os.closerange(3, 256)
        limit(policy["limits"])
        filter_calls(policy["program_filter"])
        module = sys.modules["__main__"] = types.ModuleType("__main__")
        sys.argv = ["program"]
        exec(compile(source, "program", "exec"), module.__dict__)
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    except BaseException:  # noqa: BLE001  as an interpreter does at the end of a program
        sys.excepthook(*sys.exc_info())
    finally:
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except BaseException:  # noqa: BLE001  the program may have put anything in its place
                code = code or 1
        os._exit(code & 0xFF)


main()
