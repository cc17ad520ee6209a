"""The child of the scorer `python`, run with -I -S: reads a job, runs its code behind an audit hook, gives values back.

Not imported by anything. The hook refuses files to write, sockets, processes and libraries in C; the parent adds time,
memory and, where it can, a namespace without network.
"""

import json
import sys

_REFUSED = ("socket.", "subprocess.", "os.", "shutil.", "ctypes.", "pty.", "fcntl.", "mmap.", "signal.", "webbrowser.")
_ALLOWED = ("os.listdir", "os.scandir", "os.putenv", "os.unsetenv")


def _guard(event: str, arguments: tuple) -> None:  # type: ignore[type-arg]
    if event == "open":
        mode, flags = arguments[1], arguments[2]
        writes = (isinstance(mode, str) and set(mode) & set("wax+")) or (flags or 0) & 3
        if writes or str(arguments[0]).startswith(("/proc", "/sys", "/dev")):
            raise PermissionError("files cannot be written here")
    if event.startswith(_REFUSED) and event not in _ALLOWED:
        raise PermissionError(f"{event} is not allowed here")


def _plain(value: object) -> object:
    """A value as JSON would give it back, so that tuples compare with lists."""
    return json.loads(json.dumps(value, allow_nan=False))


def main() -> None:
    """One job."""
    job = json.loads(sys.stdin.read())
    mark, out = job["mark"], sys.stdout
    sys.addaudithook(_guard)
    space: dict = {"__name__": "answer"}  # type: ignore[type-arg]
    told: dict[str, object] = {"problem": f"no {job['entry']!r} is defined"}
    try:
        exec(compile(job["code"], "answer", "exec"), space)
        if job["entry"] in space:
            told = {"values": [_plain(space[job["entry"]](*arguments)) for arguments in job["calls"]]}
    except BaseException as error:  # noqa: BLE001  the parent decides what it means
        told = {"problem": f"{type(error).__name__}: {error}"}
    out.write("\n" + mark + json.dumps(told) + "\n")
    out.flush()


main()
