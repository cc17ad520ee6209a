"""schemathesis over the gateway's own description: python bench/gateway_contract.py --schemathesis PATH [--examples 50]

The gateway runs before the stub server of bench/council_gateway.py. Only answers of 500 and more fail: a client's
nonsense deserves an error object below that.
"""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from council_gateway import free_port, wait_for

BENCH = Path(__file__).with_name("council_gateway.py")


def main() -> None:
    """Start both servers, run it, stop them."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--schemathesis", type=Path, required=True, help="its program, from an environment of its own")
    parser.add_argument("--examples", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    ports = [free_port(), free_port()]
    stub = f"http://127.0.0.1:{ports[0]}/v1"
    roles = (
        ["--role", "stub", "--port", str(ports[0])],
        ["--role", "gateway", "--port", str(ports[1]), "--stub", stub],
    )
    children = [subprocess.Popen([sys.executable, BENCH, *role]) for role in roles]
    try:
        asyncio.run(wait_for(f"http://127.0.0.1:{ports[1]}/v1"))
        words = ["run", f"http://127.0.0.1:{ports[1]}/openapi.json", "--checks", "not_a_server_error"]
        words += ["--max-examples", str(given.examples), "--seed", str(given.seed), "--request-timeout", "60"]
        began = time.monotonic()
        status = subprocess.run([given.schemathesis, *words], check=False).returncode
        print(f"exit {status} after {time.monotonic() - began:.0f} s")
    finally:
        for child in children:
            child.terminate()
            child.wait()


if __name__ == "__main__":
    main()
