"""`afs mcp`, asked by the SDK's own client over standard input and output and over HTTP."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
import uvicorn
from mcp import Client, StdioServerParameters
from starlette.types import ASGIApp

from afs.council.toolbox import Toolbox
from afs.process import safe_environment
from afs.serve.access import NOBODY, Tokens, hash_token
from afs.serve.mcp_server import http_app

ROUTINE = "lda #$01\nsta $10\nrts\n"


async def call(client: Client, tool: str, /, **arguments: Any) -> tuple[str, bool]:
    result = await client.call_tool(tool, arguments)
    return "".join(getattr(part, "text", "") for part in result.content), bool(result.is_error)


async def play(client: Client) -> dict[str, tuple[str, bool]]:
    """One call of every kind."""
    listed = await client.list_tools()
    names = {tool.name for tool in listed.tools}
    assert {"verify", "snes_assemble", "snes_equal", "snes_cycles", "snes_lint", "snes_disassemble"} < names
    assert all(tool.input_schema["type"] == "object" and tool.description for tool in listed.tools)
    slow = "lda #$00\nclc\nadc #$01\nsta $10\nrts\n"
    question = f"Make this faster, same effect:\n```asm\n{slow}```"
    return {
        "assemble": await call(client, "snes_assemble", source=ROUTINE),
        "disassemble": await call(client, "snes_disassemble", data="C2 20 A9 34 12 60"),
        "lint": await call(client, "snes_lint", source="rep #$20\nlda #$01\nrts\n"),
        "run": await call(client, "snes_run", source=ROUTINE),
        "trace": await call(client, "snes_trace", source=ROUTINE, steps=2),
        "cycles": await call(client, "snes_cycles", source=ROUTINE),
        "equal": await call(client, "snes_equal", original=ROUTINE, candidate="lda #$02\nsta $10\nrts\n"),
        "register": await call(client, "snes_register", name="$2100"),
        "verify": await call(client, "verify", question=question, answer="```asm\nlda #$02\nsta $10\nrts\n```"),
        "wrong argument": await call(client, "snes_run", sauce=ROUTINE),
        "bad source": await call(client, "snes_assemble", source="edxcxc #$8A"),
    }


def check(found: dict[str, tuple[str, bool]]) -> None:
    assert "A9 01 85 10 60" in found["assemble"][0]
    assert "LDA" in found["disassemble"][0].upper() and "1234" in found["disassemble"][0]
    assert "rts after" not in found["run"][0] and "$7E0010" in found["run"][0]
    assert found["trace"][0].upper().count("LDA") == 1
    assert "cycles" in found["cycles"][0]
    assert "differ" in found["equal"][0].lower() or "- " in found["equal"][0]
    assert "INIDISP" in found["register"][0]
    assert found["verify"][0].startswith("refuted")
    assert found["wrong argument"][1] and "sauce" in found["wrong argument"][0]
    assert found["bad source"][1] and "edxcxc" in found["bad source"][0]


def test_an_agent_checks_code_over_standard_input_and_output(tmp_path: Path) -> None:
    environment = safe_environment({"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)})
    server = StdioServerParameters(
        command=sys.executable, args=["-m", "afs", "mcp"], env=environment, cwd=str(tmp_path)
    )

    async def use() -> dict[str, tuple[str, bool]]:
        async with Client(server) as client:
            return await play(client)

    check(asyncio.run(use()))


@contextmanager
def serving(app: ASGIApp) -> Iterator[str]:
    """The address of an application on a real port."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="error"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/mcp"
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


@pytest.fixture(scope="module")
def box() -> Iterator[Toolbox]:
    found = Toolbox()
    yield found
    found.close()


def test_an_agent_checks_code_over_http(box: Toolbox) -> None:
    async def use(address: str) -> dict[str, tuple[str, bool]]:
        async with Client(address) as client:
            return await play(client)

    with serving(http_app(box, None, NOBODY, "127.0.0.1")) as address:
        check(asyncio.run(use(address)))
        assert httpx2.post(address, json={}, headers={"origin": "https://evil.example"}).status_code == 403
        assert httpx2.post(address, json={}, headers={"host": "evil.example"}).status_code == 403


def test_a_token_is_demanded_where_one_is_set(box: Toolbox) -> None:
    with serving(http_app(box, None, Tokens({"ci": hash_token("secret")}), "127.0.0.1")) as address:
        asked = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
        assert httpx2.post(address, json=asked).status_code == 401
        right = {"authorization": "Bearer secret", "accept": "application/json, text/event-stream"}
        assert httpx2.post(address, json=asked, headers=right).status_code < 500


def test_tools_read_no_file_and_name_no_folder(box: Toolbox, tmp_path: Path) -> None:
    secret = tmp_path / "secret.asm"
    secret.write_text("db $DE,$AD,$BE,$EF\nTHESECRET:\n")
    for name in ("snes_assemble", "snes_lint", "snes_run", "snes_cycles"):
        for directive in ("incsrc", "incbin"):
            source = f'{directive} "{secret}"\nrts\n'
            text = box.call(name, {"source": source}).text
            assert "DE AD" not in text.upper() and "THESECRET" not in text.replace(str(secret), "")
            assert "afs-tool-" not in text


def test_a_tool_that_never_ends_is_ended() -> None:
    box = Toolbox(timeout_s=3.0)
    try:
        slow = box.call("snes_assemble", {"source": "while 1\ndb 0\nendif\n"})
        assert slow.is_problem
        assert not box.call("snes_register", {"name": "2100"}).is_problem
    finally:
        box.close()
