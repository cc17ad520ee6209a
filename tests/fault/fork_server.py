"""Runs afs commands in forked children, so that a test pays for the imports once. Run as a program, not imported.

In: one JSON list of words a line. Out: the child's process id, then its exit code (negative: the signal).
"""

from __future__ import annotations

import json
import os
import sys

from afs.cli.main import main

for line in sys.stdin:
    words = json.loads(line)
    child = os.fork()
    if child == 0:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(os.open(os.environ["FAULT_LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT), 1)
        os.dup2(1, 2)
        code = 70
        try:
            code = main(words)
        finally:
            os._exit(code)
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
