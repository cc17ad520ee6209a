#!/bin/sh
# Says in plain words what is missing before anything is installed, and how to get it.
python="$1"
fail=0
say() { echo "$1" >&2; fail=1; }
if [ -z "$python" ]; then
    say "Python 3.11 or newer is missing. Get it with: sudo apt-get install python3 python3-venv"
elif ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    say "$("$python" --version) is too old: Python 3.11 or newer is needed (PYTHON=/path/to/python make … names another)."
elif ! "$python" -c 'import venv, ensurepip' 2>/dev/null; then
    say "Python's venv module is missing. Get it with: sudo apt-get install python3-venv"
fi
if ! command -v cc >/dev/null && ! command -v gcc >/dev/null; then
    echo "No C compiler: everything works, but the CPU core runs in plain Python, about a hundred times slower." >&2
    echo "Get one with: sudo apt-get install gcc" >&2
fi
exit $fail
