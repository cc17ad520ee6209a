"""Attacks by a Python program in the pool: numbers are those of the outside attack on the scorer `python`."""

from __future__ import annotations

import os
import re
import sqlite3
import string

import pytest

from afs.child_pipes import Capture
from afs.sandbox import PythonPool, Rung, SandboxLimits

from .conftest import KEY, Host, is_alive

SHELL = "['/bin/sh', '-c', 'echo GAINED; touch $folder/gained']"
ATTACKS = {
    "01 any file": "print(open('$secret').read())",
    "02 own environment": "print(open('/proc/self/environ').read())",
    "03 parent's environment": "print(open('//proc/$victim/environ').read())",
    "04 as bytes": "print(open(b'/proc/$victim/environ', 'rb').read())",
    "05 parent's command line": "print(open('/proc/$parent/cmdline').read()); print('GAINED')",
    "06 patch the launcher": "import __main__, os; __main__._REFUSED = ('~',); os.system('touch $folder/gained') or print('GAINED')",
    "07 frames": """
import sys, os
frame = sys._getframe()
while frame:
    for space in (frame.f_globals, frame.f_locals):
        for name, value in list(space.items()):
            if name in ('control', 'status') and hasattr(value, 'send'):
                value.send(b'x'); print('GAINED')
    frame = frame.f_back
os.execv('/bin/sh', """
    + SHELL
    + ")",
    "08 fork_exec": """
import _posixsubprocess as p, os
r, w = os.pipe()
p.fork_exec([b'/bin/sh', b'-c', b'echo GAINED; touch $folder/gained'], [b'/bin/sh'], True, (), None, None, -1, -1, -1, -1, -1, -1, r, w, True, False, -1, None, None, None, -1, None, False)
os.waitpid(-1, 0); print(os.path.exists('$folder/gained') and 'GAINED')""",
    "09 sqlite writes": "import sqlite3; sqlite3.connect('$folder/gained').execute('CREATE TABLE x (y)'); print('GAINED')",
    "10 reference answers": "print(open('$afs/evaluate/suites/python.toml').read()); print('GAINED')",
    "11 prlimit": "import resource; resource.prlimit($victim, resource.RLIMIT_CPU, (0, 0)); print('GAINED')",
    "11 prlimit on the server": "import resource, os; resource.prlimit(os.getppid(), resource.RLIMIT_CPU, (0, 0)); print('GAINED')",
    "12 kill": "import os; os.kill($victim, 9); print('GAINED')",
    "12 kill the server": "import os; os.kill(os.getppid(), 9); print('GAINED')",
    "12 kill everybody": "import os; os.kill(-1, 9); print('GAINED')",
    "13 kill in C": "import ctypes; c = ctypes.CDLL(None); c.kill($victim, 9) or print('GAINED'); c.syscall(234, $victim, $victim, 9) or print('GAINED')",
    "14 socket": "import socket; socket.create_connection(('127.0.0.1', $tcp), 2); print('GAINED')",
    "14 udp": "import socket; socket.socket(type=socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', $udp)); print('GAINED')",
    "15 socket in C": "import ctypes; s = ctypes.CDLL(None).socket(2, 1, 0); print('GAINED' if s >= 0 else s)",
    "16 unix socket": "import socket; socket.socket(socket.AF_UNIX).connect('$unix'); print('GAINED')",
    "16 abstract socket": "import socket; socket.socket(socket.AF_UNIX).connect('$abstract'); print('GAINED')",
    "16 datagram pair to a path": "import socket; a, b = socket.socketpair(type=socket.SOCK_DGRAM); a.sendto(b'x', '$unix'); print('GAINED')",
    "17 forks": "import os\nfor _ in range(100):\n    os.fork()\nprint('GAINED')",
    "18 setsid grandchild": "import os, time\nif not os.fork():\n    os.setsid(); time.sleep(1); open('$folder/gained', 'w')\nprint('GAINED')",
    "20 memory": "x = bytearray(2 << 30); print('GAINED')",
    "20 memory, shared": "import mmap; m = mmap.mmap(-1, 2 << 30); print('GAINED')",
    "20 memory, file": "import os; f = os.memfd_create('x'); os.write(f, b'x'); print('GAINED')",
    "21 memory of forks": "import os\nfor _ in range(4):\n    os.fork() or bytearray(300 << 20)\nprint('GAINED')",
    "22 disk": "import os, tempfile\nwith open(os.path.join(tempfile.gettempdir(), 'x'), 'wb') as f:\n    f.write(bytes(1))\nprint('GAINED')",
    "22 disk, anywhere": "import os\nfor place in ('/', '/tmp', '/var/tmp', '/dev/shm', '/usr', '$folder', '.'):\n    try:\n        open(place + '/gained', 'w'); print('GAINED', place)\n    except OSError: pass",
    "24 symlink": "import os; os.symlink('/etc/passwd', '$folder/gained'); print('GAINED')",
    "28 list the root": "import os; print(os.listdir('/')); print('GAINED')",
    "28 list homes": "import os; print(os.listdir('/home')); print('GAINED')",
    "29 shadow": "print(open('/etc/shadow').read()); print('GAINED')",
    "29 passwd": "print(open('/etc/passwd').read()); print('GAINED')",
    "30 readline": "import readline; readline.add_history('x'); readline.write_history_file('$folder/gained'); print('GAINED')",
    "34 fifo": "import os; os.mkfifo('$folder/gained'); print('GAINED')",
    "37 rewrite verdicts": "import sqlite3; d = sqlite3.connect('$database'); d.execute('UPDATE verdicts SET ok = 1'); d.commit(); print('GAINED')",
    "v1 io_uring": "import ctypes; print('GAINED' if ctypes.CDLL(None).syscall(425, 1, ctypes.create_string_buffer(120)) >= 0 else '')",
    "v2 signal by a file's owner": """
import fcntl, os, signal
r, w = os.pipe()
fcntl.fcntl(r, fcntl.F_SETOWN, os.getppid()); print('GAINED')""",
    "v3 truncate": "import os; os.truncate('$secret', 0); print('GAINED')",
    "v3 truncate by reading": "import os; os.open('$secret', os.O_RDONLY | os.O_TRUNC); print('GAINED')",
    "v3 truncate by neither": "import os; os.open('$secret', 3 | os.O_TRUNC); print('GAINED')",
    "v4 change modes": "import os; os.chmod('$secret', 0); print('GAINED')",
    "v4 change times": "import os; os.utime('$secret', (0, 0)); print('GAINED')",
    "v4 attributes": "import os; os.setxattr('$secret', 'user.x', b'x'); print('GAINED')",
    "v5 remove": "import os; os.unlink('$secret'); print('GAINED')",
    "v5 rename": "import os; os.rename('$secret', '$folder/gained'); print('GAINED')",
    "v6 system V memory": "import ctypes; print('GAINED' if ctypes.CDLL(None).shmget(0, 1 << 20, 0o1666) >= 0 else '')",
    "v7 message queue": "import ctypes; print('GAINED' if ctypes.CDLL(None).msgget(0, 0o1666) >= 0 else '')",
    "v8 keyring": "import ctypes; print('GAINED' if ctypes.CDLL(None).syscall(248, b'user', b'k', b'v', 1, -3) >= 0 else '')",
    "v9 ptrace the server": "import ctypes, os; print('GAINED' if ctypes.CDLL(None).ptrace(16, os.getppid(), 0, 0) >= 0 else '')",
    "v10 the server's memory": "import os; print('GAINED' if open(f'/proc/{os.getppid()}/mem', 'rb') else '')",
    "v11 slow the host down": "import os; os.sched_setaffinity($victim, {0}); print('GAINED')",
    "v11 priorities": "import os; os.setpriority(os.PRIO_PROCESS, $victim, 19); print('GAINED')",
    "v12 another filter": "import ctypes; print('GAINED' if ctypes.CDLL(None).syscall(317, 1, 8, b'\\x00' * 16) >= 0 else '')",
    "v13 new namespaces": "import ctypes; print('GAINED' if ctypes.CDLL(None).unshare(0x10000000) >= 0 else '')",
    "v13 new namespaces by clone": "import ctypes; print('GAINED' if ctypes.CDLL(None).syscall(56, 0x10000000 | 17, 0, 0, 0, 0) >= 0 else '')",
    "v14 raise the limits": "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 30, 1 << 30)); print('GAINED')",
    "v15 inherited descriptors": """
import os, stat
for handle in range(3, 1024):
    try:
        os.fstat(handle); print('GAINED', handle)
    except OSError: pass""",
    "v16 pidfd": "import os; os.pidfd_open(os.getppid()); print('GAINED')",
    "v17 watch files": "import ctypes; print('GAINED' if ctypes.CDLL(None).inotify_init() >= 0 else '')",
    "v18 installed packages": "import sys; sys.path += ['/usr/lib/python3/dist-packages', '$afs/..']; import afs; print('GAINED')",
    "v19 personality": "import ctypes; print('GAINED' if ctypes.CDLL(None).personality(0x0040000) >= 0 else '')",
    "v20 compat system calls": """
import ctypes, mmap
m = mmap.mmap(-1, 4096, prot=7)
m.write(bytes.fromhex('b814000000cd80c3'.replace('00cd', '00cd')))  # mov eax, 20 (getpid in i386); int 0x80; ret
print(ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(m)))()); print('GAINED')""",
    "v21 x32 system calls": "import ctypes; print('GAINED' if ctypes.CDLL(None).syscall(0x40000000 + 39) >= 0 else '')",
}


def sources(host: Host, attack: str) -> str:
    return string.Template(ATTACKS[attack]).substitute(host.names())


@pytest.mark.parametrize("attack", ATTACKS)
def test_an_attack_gains_nothing(pool: PythonPool, host: Host, attack: str) -> None:
    before = host.listing()
    outcome = pool.run(sources(host, attack), timeout_s=10)
    assert b"GAINED" not in outcome.stdout and KEY.encode() not in outcome.stdout, outcome
    assert host.listing() == before
    assert host.secret.read_text() == "GAINED the secret"
    assert host.secret.stat().st_mode & 0o777 == 0o666 and host.secret.stat().st_mtime > 0
    with sqlite3.connect(host.database) as db:
        assert db.execute("SELECT ok FROM verdicts").fetchall() == [(0,)]
    db.close()
    assert is_alive(host.victim) and is_alive(os.getpid())


def test_the_next_program_is_served_and_finds_nothing_of_the_last(pool: PythonPool) -> None:
    """25-27: what one program patches is gone in the next."""
    pool.run("import builtins, json, sys; builtins.planted = json.planted = sys.planted = 1", timeout_s=10)
    program = "import builtins, json, sys; print([hasattr(x, 'planted') for x in (builtins, json, sys)])"
    assert pool.run(program, timeout_s=10).stdout == b"[False, False, False]\n"
    numbers = {pool.run("import random; print(random.random())", timeout_s=10).stdout for _ in range(3)}
    assert len(numbers) == 3, "random state is not shared"


def test_a_program_holds_its_three_pipes_and_nothing_of_its_server(pool: PythonPool) -> None:
    program = (
        "import os\nfound = []\nfor n in range(300):\n    try:\n        os.fstat(n)\n        found.append(n)\n"
        "    except OSError:\n        pass\nprint(found)"
    )
    assert pool.run(program, timeout_s=10).stdout == b"[0, 1, 2]\n"


def test_programs_that_do_not_end_are_ended(pool: PythonPool) -> None:
    """19, 35, 36: every wait is bounded, and the pool lives on."""
    for program in ("import time; time.sleep(60)", "import re; re.match('(a+)+$', 'a' * 40 + 'b')", "while True: pass"):
        outcome = pool.run(program, timeout_s=0.3)
        assert (outcome.stopped_by, outcome.exit_code) == ("timeout", -9) and outcome.seconds < 20
    deaf = "import signal\nfor n in range(1, 65):\n    try: signal.signal(n, signal.SIG_IGN)\n    except (OSError, ValueError): pass\nwhile True: pass"
    assert pool.run(deaf, timeout_s=0.3).stopped_by == "timeout"
    assert pool.run("print(1)", timeout_s=10).stdout == b"1\n"


def test_output_is_capped(rung: Rung) -> None:
    """23."""
    with PythonPool(rung=rung, limits=SandboxLimits(output_mb=1)) as pool:
        outcome = pool.run("import sys\nwhile True: sys.stdout.write('x' * 65536)", timeout_s=20)
        assert outcome.stopped_by == "output" and len(outcome.stdout) <= 1 << 20
        outcome = pool.run("import sys; sys.stderr.write('x' * (3 << 20))", timeout_s=20)
        assert outcome.stopped_by == "output" and len(outcome.stderr) <= 1 << 20
        assert pool.run("print(1)", timeout_s=10).stdout == b"1\n"


def test_how_programs_end_is_seen(pool: PythonPool) -> None:
    def end(program: str) -> tuple[int, str]:
        outcome = pool.run(program, timeout_s=10)
        return outcome.exit_code, outcome.stopped_by

    assert end("") == (0, "")
    assert end("raise SystemExit(3)") == (3, "")
    assert end("import os; os._exit(7)") == (7, "")
    assert end("1 / 0") == (1, "") and end("(") == (1, "")
    assert end("import ctypes; ctypes.string_at(0)") == (-11, "")
    assert end("bytearray(2 << 30)") == (1, "")


def test_honest_programs_work(pool: PythonPool) -> None:
    program = "import sys, re, decimal, threading, datetime, zoneinfo, asyncio\nasync def f(): return input()\nt = threading.Thread(target=lambda: print(asyncio.run(f()))); t.start(); t.join()"
    outcome = pool.run(program, stdin="héllo\n".encode(), timeout_s=20)
    assert outcome.stdout.decode() == "héllo\n" and not outcome.stderr
    outcome = pool.run("import sys; print(len(sys.stdin.read()))", stdin=b"x" * 3_000_000, timeout_s=20)
    assert outcome.stdout == b"3000000\n"
    assert pool.run("#" + "x" * 2_000_000 + "\nprint(2)", timeout_s=20).stdout == b"2\n"


def test_many_programs_keep_their_order(rung: Rung) -> None:
    with PythonPool(rung=rung, jobs=2) as pool:
        outcomes = pool.map(((f"print({n})", b"") for n in range(30)), timeout_s=20)
        assert [int(outcome.stdout) for outcome in outcomes] == list(range(30))


def test_a_server_that_was_killed_is_replaced(rung: Rung) -> None:
    with PythonPool(rung=rung) as pool:
        assert pool.run("print(1)", timeout_s=10).stdout == b"1\n"
        child = pool._all[0]._child
        assert child is not None
        os.killpg(child.pid, 9)
        child.wait()
        outcomes = [pool.run("print(2)", timeout_s=10) for _ in range(2)]
        assert re.match(rb"2\n", outcomes[-1].stdout)


def test_limits_of_time_belong_to_each_program(rung: Rung) -> None:
    """The first program's time does not bound those after it."""
    read = "import resource; print(resource.getrlimit(resource.RLIMIT_CPU)[0])"
    with PythonPool(rung=rung) as pool:
        found = [int(pool.run(read, timeout_s=seconds).stdout) for seconds in (3, 30)]
    assert found[1] > 5 * found[0] // 2


def test_nothing_runs_on_after_a_timeout_or_an_interrupt(rung: Rung, monkeypatch: pytest.MonkeyPatch) -> None:
    """A later program never hears an earlier one's answer."""
    with PythonPool(rung=rung) as pool:
        pool.run("", timeout_s=10)
        with monkeypatch.context() as patch:
            patch.setattr(Capture, "until", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt()))
            with pytest.raises(KeyboardInterrupt):
                pool.run("raise SystemExit(9)", timeout_s=10)
        assert pool.run("print(1)", timeout_s=10).exit_code == 0
