"""Exporting to a real HTTP server that speaks MLflow's REST interface."""

from __future__ import annotations

import threading
import urllib.parse
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import msgspec
import pytest

from afs.errors import MissingError
from afs.registry import Registry
from afs.registry.mlflow import MlflowConfig, export_model
from afs.types import Artifact, FileEntry, Interval, Report
from afs.workspace import MANIFEST, Workspace

Store = Callable[..., Artifact]


class Handler(BaseHTTPRequestHandler):
    """The calls that the export makes."""

    server: Mlflow

    def log_message(self, *_: object) -> None:
        return

    def do_GET(self) -> None:
        place = urllib.parse.urlsplit(self.path)
        assert place.path == "/api/2.0/mlflow/model-versions/search"
        wanted = urllib.parse.parse_qs(place.query)["filter"][0]
        found = [row for name, rows in self.server.models.items() if wanted == f"name='{name}'" for row in rows]
        self.reply(200, {"model_versions": found})

    def do_POST(self) -> None:
        body = msgspec.json.decode(self.rfile.read(int(self.headers["content-length"])))
        path = self.path.removeprefix("/api/2.0/mlflow/")
        self.server.calls.append(path)
        if path == "registered-models/create":
            status = 400 if body["name"] in self.server.models else 200
            self.server.models.setdefault(body["name"], [])
            self.reply(status, {"error_code": "RESOURCE_ALREADY_EXISTS"} if status == 400 else {})
        elif path == "model-versions/create":
            versions = self.server.models[body["name"]]
            versions.append({"version": str(len(versions) + 1), "tags": body["tags"]})
            self.reply(200, {"model_version": versions[-1]})
        elif path == "registered-models/alias":
            self.server.aliases[body["alias"]] = body["version"]
            self.reply(200, {})
        elif path == "runs/create":
            self.reply(200, {"run": {"info": {"run_id": "r1"}}})
        else:
            self.server.metrics += body.get("metrics", [])
            self.reply(200, {})

    def reply(self, status: int, value: object) -> None:
        content = msgspec.json.encode(value)
        self.send_response(status)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


class Mlflow(HTTPServer):
    """A server that keeps what it is told."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.models: dict[str, list[dict]] = {}
        self.aliases: dict[str, str] = {}
        self.metrics: list[dict] = []
        self.calls: list[str] = []


@pytest.fixture
def server() -> Iterator[Mlflow]:
    made = Mlflow()
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield made
    made.shutdown()
    thread.join()
    made.server_close()


def test_versions_aliases_and_measures_arrive_once(workspace: Workspace, store: Store, server: Mlflow) -> None:
    registry = Registry(workspace)
    for content in ("a", "b"):
        registry.register("din", store("din-lora", content).ref)
        registry.promote("din", reason="test")
    with workspace.new_version("report", "gate") as (ref, folder):
        report = Report(
            ref=str(ref),
            subject="din-lora@2",
            suite="s",
            suite_digest="d",
            results=FileEntry(path="r", size=0, sha256=""),
            summary={"pass": Interval(value=0.8, low=0.7, high=0.9, n=50), "lost": Interval(value=None)},
        )
        (folder / MANIFEST).write_bytes(msgspec.json.encode(report))
    registry.evaluated("din", "din-lora@2", "gate@1")
    config = MlflowConfig(name="din", url=f"http://127.0.0.1:{server.server_address[1]}")
    made = export_model(config, workspace)
    assert made.versions == {"din-lora@1": "1", "din-lora@2": "2"}
    assert server.aliases == {"champion": "2", "previous": "1"}
    assert {row["key"]: row["value"] for row in server.metrics} == {
        "gate-1.pass": 0.8,
        "gate-1.pass.low": 0.7,
        "gate-1.pass.high": 0.9,
    }
    assert export_model(config, workspace).versions == made.versions
    assert server.calls.count("model-versions/create") == 2
    assert len(server.metrics) == 3


def test_a_server_that_is_not_there(workspace: Workspace, store: Store) -> None:
    Registry(workspace).register("din", store("din-lora").ref)
    with pytest.raises(MissingError, match="no MLflow server answers"):
        export_model(MlflowConfig(name="din", url="http://127.0.0.1:9"), workspace)
