"""What runs in the sandbox for the check `python`: it calls the user's function and writes what it returned.

Never imported: its text is handed to an interpreter. What the function prints does not mix with what it returns.
"""

import inspect
import json
import os
import sys


def read_result(found: object) -> dict:  # type: ignore[type-arg]
    """What a function may return, as the fields of a verdict."""
    reason = ""
    if isinstance(found, tuple) and len(found) == 2:
        found, reason = found
    if isinstance(found, dict):
        table, found = found, found.get("score", found.get("ok"))
        reason = table.get("reason", "")
    if found is None:
        return {"ok": None, "reason": str(reason)}
    if isinstance(found, bool):
        return {"ok": found, "score": float(found), "reason": str(reason)}
    if isinstance(found, (int, float)) and 0 <= found <= 1:
        return {"ok": found >= 1, "score": float(found), "reason": str(reason)}
    return {"problem": f"returned {found!r:.80}: want True, False, None or a number from 0 to 1"}


def main() -> None:
    """Read the order, call, write one line."""
    order = json.load(sys.stdin)
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    try:
        sys.path.insert(0, os.getcwd())
        module = {"__name__": "check", "__file__": order["file"]}
        with open(order["file"], encoding="utf-8") as file:
            exec(compile(file.read(), order["file"], "exec"), module)
        function = module[order["name"]]
        takes_task = len(inspect.signature(function).parameters) > 1
        result = read_result(function(order["answer"], order["task"]) if takes_task else function(order["answer"]))
    except KeyError as error:
        result = {"problem": f"is missing: no function or field {error} in {order['file']}"}
    except BaseException as error:  # noqa: BLE001  whatever it is, it says nothing about the answer
        result = {"problem": f"raised {type(error).__name__}: {error}"}
    out.write("\n" + json.dumps({"nonce": order["nonce"], **result}) + "\n")
    out.flush()


main()
