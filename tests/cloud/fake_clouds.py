"""vast.ai and RunPod as their documents and clients describe them, with machines that are folders of this one.

Each misbehavior is a fault with a count; the bill is the fake's own. The `ssh` of the tests reaches a machine's folder by
its port, and only while the machine runs.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

SSH = """#!/bin/sh
# ssh [options] -p PORT user@host command: runs in the machine's folder while the machine is up
port=; while [ $# -gt 1 ]; do case "$1" in -p) port=$2; shift 2;; -o|-i) shift 2;; *@*) shift; break;; *) shift;; esac; done
box={boxes}/$port
[ -e "$box/up" ] || {{ echo "ssh: connect to host: Connection refused" >&2; exit 255; }}
if [ -s "$box/drop" ]; then n=$(cat "$box/drop"); if [ "$n" -gt 0 ]; then echo $((n - 1)) > "$box/drop"; head -c 2000 > /dev/null
  echo "Connection reset by peer" >&2; exit 255; fi; fi
cd "$box" && HOME=$box exec sh -c "$1"
"""


@dataclass
class Box:
    """A machine."""

    id: str
    label: str
    port: int
    created: float
    usd_hour: float
    offer: str = ""
    status: str = "running"
    seen: int = 0
    message: str = ""
    ended: float | None = None

    def usd(self, now: float) -> float:
        return max(0.0, (self.ended or now) - self.created) / 3600 * self.usd_hour


@dataclass
class FakeCloud:
    """Both providers behind one address."""

    root: Path
    faults: Counter[str] = field(default_factory=Counter)
    boxes: dict[str, Box] = field(default_factory=dict)
    gone: dict[str, Box] = field(default_factory=dict)
    volumes: list[dict[str, Any]] = field(default_factory=list)
    requests: list[tuple[str, str]] = field(default_factory=list)
    usd_hour: float = 36.0
    lock: Any = field(default_factory=threading.RLock)

    def __post_init__(self) -> None:
        self.root.mkdir(parents=True, exist_ok=True)
        bin_folder = self.root / "bin"
        bin_folder.mkdir()
        (bin_folder / "ssh").write_text(SSH.format(boxes=self.root))
        (bin_folder / "ssh").chmod(0o755)
        cloud = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None:
                pass

            def answer(self) -> None:
                size = int(self.headers.get("content-length") or 0)
                body = json.loads(self.rfile.read(size) or b"{}")
                with cloud.lock:
                    cloud.requests.append((self.command, self.path))
                    status, reply = cloud.handle(self.command, self.path, body)
                if status == 0:  # the connection breaks without an answer
                    self.close_connection = True
                    return
                raw = reply.encode() if isinstance(reply, str) else b"" if reply is None else json.dumps(reply).encode()
                self.send_response(status)
                self.send_header("content-length", str(len(raw)))
                self.end_headers()
                self.wfile.write(raw)

            do_GET = do_POST = do_PUT = do_DELETE = answer

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        for box in list(self.boxes.values()):
            self.end(box.id)
        self.server.shutdown()
        self.server.server_close()

    def fault(self, name: str) -> bool:
        """Whether a fault strikes now."""
        if self.faults[name] > 0:
            self.faults[name] -= 1
            return True
        return False

    # machines

    def make(self, label: str, offer: str) -> Box:
        number = len(self.boxes) + len(self.gone) + 1
        box = Box(str(1000 + number), label, 20000 + number, time.time(), self.usd_hour, offer)
        folder = self.root / str(box.port)
        folder.mkdir()
        if self.fault("drops"):
            (folder / "drop").write_text("6")
        self.boxes[box.id] = box
        for name in ("stuck", "exits", "offline", "oci", "unknown", "error"):
            if self.fault(name):
                box.status = {"stuck": "loading", "exits": "exited", "oci": "created", "error": "ERROR"}.get(name, name)
                box.message = "OCI runtime create failed: no such device" if name == "oci" else ""
                return box
        (folder / "up").touch()
        return box

    def take_away(self, status: str = "stopped") -> None:
        """Preempt what runs."""
        with self.lock:
            for box in self.boxes.values():
                box.status = status
                self.halt(box)

    def halt(self, box: Box) -> None:
        folder = self.root / str(box.port)
        (folder / "up").unlink(missing_ok=True)
        with suppress(OSError, ValueError):
            os.killpg(int((folder / "afs-job" / "pid").read_text()), signal.SIGKILL)

    def end(self, box_id: str) -> None:
        box = self.boxes.pop(box_id)
        box.ended = time.time()
        self.gone[box_id] = box
        self.halt(box)
        shutil.rmtree(self.root / str(box.port), ignore_errors=True)

    def bill(self) -> float:
        """Dollars of everything."""
        return sum(box.usd(time.time()) for box in [*self.boxes.values(), *self.gone.values()])

    # requests

    def handle(self, method: str, path: str, body: dict[str, Any]) -> tuple[int, object]:
        parts = urlsplit(path)
        query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        if self.fault("429"):
            return 429, "API requests too frequent"
        if self.fault("401"):
            return 401, {"msg": "invalid key"}
        if self.fault("html"):
            return 200, "<html>maintenance</html>"
        if self.fault("500"):
            return 500, "<html>oops</html>"
        if parts.path.startswith("/api/"):
            return self.vast(method, parts.path.strip("/").split("/")[1:], query, body)
        return self.runpod(method, parts.path.strip("/").split("/")[1:], query, body)

    def vast(self, method: str, parts: list[str], query: dict[str, str], body: dict[str, Any]) -> tuple[int, object]:
        match (method, parts):
            case ("POST", ["v0", "bundles"]):
                rows = [
                    {
                        "id": number,
                        "gpu_name": name,
                        "gpu_ram": 24564,
                        "dph_base": self.usd_hour + number / 100,
                        "min_bid": self.usd_hour / 2,
                        "storage_cost": 0.0,
                        "dlperf": 100.0,
                        "reliability": 0.99,
                    }
                    for number, name in enumerate(("RTX 4090", "RTX 4090", "RTX 3090", "RTX 4090"), 1)
                ]
                if self.fault("holes"):
                    rows += [
                        {"id": 9},
                        {"gpu_name": "x", "dph_base": 0.0},
                        {"id": 10, "dph_base": None, "gpu_ram": None},
                    ]
                return 200, {"offers": rows}
            case ("PUT", ["v0", "asks", offer]):
                if self.fault("no such ask"):
                    return 404, {"success": False, "error": "no_such_ask", "msg": "Instance type no longer available"}
                box = None if self.fault("not rented") else self.make(body["label"], offer)
                if box is None:
                    return 200, {"success": False, "msg": "no longer for rent"}
                if self.fault("error with contract"):
                    return 400, {"error": "invalid_price", "new_contract": int(box.id)}
                if self.fault("error without id"):
                    return 500, "<html>Bad gateway</html>"
                if self.fault("broken create"):
                    return 0, None
                return 200, {"success": True, "new_contract": int(box.id), "instance_api_key": "key-of-the-box"}
            case ("GET", ["v0", "instances", box_id]):
                if box_id not in self.boxes:
                    return 404, {"success": False, "error": "no_such_instance"}
                if self.fault("empty get"):
                    return 200, {"instances": None}
                return 200, {"instances": self.vast_row(self.boxes[box_id])}
            case ("GET", ["v1", "instances"]):
                if self.fault("no list"):
                    return 200, {}
                rows = [self.vast_row(box) for box in self.boxes.values()]
                start, size = int(query.get("after_token", 0)), 2
                more = start + size if start + size < len(rows) else None
                return 200, {"instances": rows[start : start + size], "next_token": more and str(more)}
            case ("DELETE", ["v0", "instances", box_id]):
                if self.fault("not destroyed"):
                    return 200, {"success": False, "msg": "try again"}
                if self.fault("destroy 500"):
                    return 500, "<html>"
                if box_id not in self.boxes:
                    return 404, {"success": False, "error": "no_such_instance"}
                if not self.fault("lingers"):
                    self.end(box_id)
                return 200, {"success": True}
            case ("GET", ["v0", "charges"]):
                if self.fault("no bill"):
                    return 200, {"results": [], "next_token": None}
                every = [*self.boxes.values(), *self.gone.values()]
                rows = [{"source": f"instance-{box.id}", "amount": box.usd(time.time())} for box in every]
                return 200, {"results": rows, "next_token": None}
            case ("GET", ["v0", "volumes"]):
                return 200, {"volumes": self.volumes}
            case ("PUT", ["v0", "instances", "request_logs", box_id]):
                return 200, {"success": True, "result_url": f"https://logs.example/{box_id}"}
        return 404, {"msg": f"no route {method} {parts}"}

    def vast_row(self, box: Box) -> dict[str, Any]:
        box.seen += 1
        return {
            "id": int(box.id),
            "label": box.label,
            "actual_status": box.status if box.seen > 1 else None,
            "status_msg": box.message,
            "dph_total": box.usd_hour,
            "public_ipaddr": "127.0.0.1\n",
            "ports": {"22/tcp": [{"HostIp": "0.0.0.0", "HostPort": str(box.port)}]},
            "gpu_name": "RTX 4090",
        }

    def runpod(self, method: str, parts: list[str], query: dict[str, str], body: dict[str, Any]) -> tuple[int, object]:
        match (method, parts):
            case ("GET", ["catalog", "gpus"]):
                card = {"memory": 24, "secure": True, "community": True, "availability": "HIGH"}
                price = {"secure": self.usd_hour + 1, "community": self.usd_hour}
                rows = [{"id": "NVIDIA GeForce RTX 4090", "price": price, **card}]
                if self.fault("holes"):
                    rows += [{"id": "x"}, {}, {"id": "y", "memory": 80, "secure": True, "price": None}]
                return 200, {"gpus": rows}
            case ("POST", ["pods"]):
                if self.fault("no capacity"):
                    return 422, {"title": "Unprocessable", "detail": "There are no longer any instances available"}
                box = self.make(body["name"], body["gpu"]["id"])
                if self.fault("error without id"):
                    return 500, "<html>"
                if self.fault("broken create"):
                    return 0, None
                return 201, self.pod(box)
            case ("GET", ["pods"]):
                if self.fault("no list"):
                    return 200, {}
                return 200, {"pods": [*map(self.pod, self.boxes.values()), *self.ended_pods()]}
            case ("GET", ["pods", box_id]):
                if box_id not in self.boxes:
                    return (
                        (200, self.ended_pods()[0]) if self.fault("terminated row") else (404, {"title": "Not Found"})
                    )
                return 200, self.pod(self.boxes[box_id])
            case ("DELETE", ["pods", box_id]):
                if self.fault("destroy 500"):
                    return 500, "<html>"
                if box_id not in self.boxes:
                    return 404, {"title": "Not Found"}
                if not self.fault("lingers"):
                    self.end(box_id)
                return 204, None
            case ("GET", ["network-volumes"]):
                return 200, {"networkVolumes": self.volumes}
            case ("GET", ["billing", "pods"]):
                every = [*self.boxes.values(), *self.gone.values()]
                mine = [box for box in every if box.id == query.get("podId")]
                return 200, {"records": [{"podId": box.id, "totalAmount": box.usd(time.time())} for box in mine]}
        return 404, {"title": f"no route {method} {parts}"}

    def ended_pods(self) -> list[dict[str, Any]]:
        return [{**self.pod(box), "status": "TERMINATED"} for box in self.gone.values()]

    def pod(self, box: Box) -> dict[str, Any]:
        words = {"running": "RUNNING", "loading": "STARTING", "stopped": "EXITED", "exited": "EXITED"}
        status = words.get(box.status, box.status)
        ssh = {"proxy": None, "direct": {"host": "127.0.0.1", "port": box.port, "username": "root"}}
        cost = box.usd_hour if status == "RUNNING" else 0.0
        return {"id": box.id, "name": box.label, "status": status, "ssh": ssh, "cost": cost, "gpu": {"id": "RTX 4090"}}
