#!/bin/sh
# Rewrites constraints.txt: one lock that holds for every supported Python, the oldest (3.11.2) included.
# Pins that are still valid stay as they are; `sh scripts/lock.sh --upgrade` takes the newest releases.
set -eu
cd "$(dirname "$0")/.."
command -v uv >/dev/null || { echo "uv is missing. Get it with: python3 -m pip install uv" >&2; exit 2; }
{
    echo "# What was tested together, for Python 3.11.2 and newer. Written by scripts/lock.sh."
    echo "# torch is installed first, by this very version."
} >constraints.head
trap 'rm -f constraints.head constraints.new' EXIT
cp constraints.txt constraints.new
uv pip compile pyproject.toml --extra all --extra dev --universal --python-version 3.11.2 \
    --no-header --no-annotate --quiet "$@" --output-file constraints.new
cat constraints.head constraints.new >constraints.txt
