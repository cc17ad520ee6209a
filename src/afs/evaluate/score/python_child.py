"""The program that the scorer `python` runs in the sandbox: reads a job, runs its code, returns the values.

Never imported: its text is the program. The sandbox is the protection, and the expected values are not in its job.
"""

import json
import sys


def plain(value: object) -> object:
    """A value as JSON returns it, so that tuples compare equal to lists."""
    return json.loads(json.dumps(value, allow_nan=False))


def main() -> None:
    """One job."""
    job, out = json.loads(sys.stdin.read()), sys.stdout
    space: dict = {"__name__": "answer"}  # type: ignore[type-arg]
    found: dict[str, object] = {"problem": f"no {job['entry']!r} is defined"}
    try:
        exec(compile(job["code"], "answer", "exec"), space)
        if job["entry"] in space:
            values, raised = [], {}
            for number, arguments in enumerate(job["calls"]):
                try:
                    values.append(plain(space[job["entry"]](*arguments)))
                except Exception as error:  # noqa: BLE001  one wrong call of several
                    values.append(None)
                    raised[str(number)] = f"{type(error).__name__}: {error}"[:200]
            found = {"values": values, "raised": raised}
    except BaseException as error:  # noqa: BLE001  afs decides what it means
        found = {"problem": f"{type(error).__name__}: {error}"}
    out.write("\n" + job["mark"] + json.dumps(found) + "\n")
    out.flush()


main()
