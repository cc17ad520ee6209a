"""RunPod, version 2 of its REST interface: on demand only, cards by type, a network volume survives its pod."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from afs.cloud.machine_provider import (
    CreateError,
    MachineState,
    Need,
    Offer,
    RentalOrder,
    RentedMachine,
    SshPlace,
    Volume,
)
from afs.cloud.rest_client import Rest, RestError, number, rows, table
from afs.errors import ProviderError, UsageError
from afs.types import Json

URL = "https://api.runpod.io"
_STATES: dict[str, MachineState] = {
    "PROVISIONING": "starting",
    "STARTING": "starting",
    "RUNNING": "running",
    "EXITED": "stopped",
    "ERROR": "dead",
}
_GONE = "TERMINATED"
_CLOUDS = ("secure", "community")


class Runpod:
    """The provider `runpod`."""

    name = "runpod"

    def __init__(self, key: str, url: str = "", *, sleep: Callable[[float], None] = time.sleep) -> None:
        self._rest = Rest(self.name, url or URL, key, sleep=sleep)

    def offers(self, need: Need) -> list[Offer]:
        """Types of cards with their list prices; whether one is free is known only when it is asked for."""
        if need.spot:
            raise UsageError("runpod rents on demand only; leave spot off, or use vast")
        body = self._rest.call("GET", "/v2/catalog/gpus", query={"include": "AVAILABILITY", "product": "POD"}).body
        return [one for row in rows(body.get("gpus")) for one in self._offers_of(row, need)]

    def _offers_of(self, row: Json, need: Need) -> list[Offer]:
        prices, name = table(row.get("price")), str(row.get("id") or "")
        if not name or number(row.get("memory")) < need.gpu_gb or need.gpu.lower() not in name.lower():
            return []
        if str(row.get("availability") or "").upper() in ("NONE", "UNAVAILABLE"):
            return []
        return [
            Offer(
                provider=self.name,
                id=f"{cloud}:{name}",
                gpu=name,
                gpu_gb=number(row.get("memory")),
                usd_hour=number(prices.get(cloud)),
                place=cloud,
            )
            for cloud in _CLOUDS
            if row.get(cloud) and number(prices.get(cloud)) > 0
        ]

    def create(self, order: RentalOrder) -> RentedMachine:
        """Rent a pod; its name is the label, and it is not unique: after any error the list is searched for it."""
        cloud, _, gpu = order.offer.id.partition(":")
        body: Json = {
            "name": order.label,
            "image": order.image,
            "gpu": {"id": gpu, "count": 1},
            "cloud": cloud.upper(),
            "disk": int(order.disk_gb),
            "ports": ["22/tcp"],
            "env": {"PUBLIC_KEY": order.public_key, "AFS_ONSTART": order.onstart},
            "args": "bash -c 'eval \"$AFS_ONSTART\"; exec /start.sh'",
            "startSsh": True,
        }
        try:
            made = self._rest.call("POST", "/v2/pods", body, repeat=False).body
        except RestError as error:
            raise CreateError(str(error), str(error.body.get("id") or "")) from error
        if not made.get("id"):
            raise CreateError("runpod: the answer to the order names no pod")
        return self._machine(made)

    def get(self, machine: str) -> RentedMachine | None:
        """None for 404, and for a pod that is terminated."""
        try:
            row = self._rest.call("GET", f"/v2/pods/{machine}").body
        except RestError as error:
            if error.status == 404:
                return None
            raise
        return None if row.get("status") == _GONE else self._machine(row)

    def list(self) -> list[RentedMachine]:
        """Members of clusters too: they are billed like the others."""
        body = self._rest.call("GET", "/v2/pods", query={"includeClusterPods": "true"}).body
        if "pods" not in body:
            raise ProviderError("runpod: the list of pods has no `pods`; not taken for an empty one")
        return [self._machine(row) for row in rows(body["pods"]) if row.get("status") != _GONE]

    def _machine(self, row: Json) -> RentedMachine:
        said = str(row.get("status") or "")
        direct = table(table(row.get("ssh")).get("direct"))
        ssh = None
        if direct.get("host") and number(direct.get("port")):
            ssh = SshPlace(
                host=str(direct["host"]), port=int(number(direct["port"])), user=str(direct.get("username") or "root")
            )
        return RentedMachine(
            provider=self.name,
            id=str(row.get("id")),
            label=str(row.get("name") or ""),
            state=_STATES.get(said, "starting"),
            said=said or "none yet",
            usd_hour=number(row.get("cost")),
            ssh=ssh,
            gpu=str(table(row.get("gpu")).get("id") or ""),
        )

    def destroy(self, machine: str) -> None:
        """204 without a body; 404 is gone already."""
        try:
            self._rest.call("DELETE", f"/v2/pods/{machine}")
        except RestError as error:
            if error.status != 404:
                raise

    def logs(self, machine: str) -> str:
        """Where to read them: the provider streams."""
        return f"runpod streams logs at /v2/pods/{machine}/logs"

    def volumes(self) -> Sequence[Volume]:
        """Network volumes."""
        body = self._rest.call("GET", "/v2/network-volumes").body
        found = rows(body.get("networkVolumes") or body.get("volumes"))
        return [
            Volume(provider=self.name, id=str(r.get("id")), label=str(r.get("name") or ""), gb=number(r.get("size")))
            for r in found
        ]

    def bill(self, machine: str, since: float) -> float | None:
        """What was billed for a pod; records appear minutes after the fact."""
        start = datetime.fromtimestamp(since - 86400, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        query = {"podId": machine, "startTime": start, "bucketSize": "day"}
        found = rows(self._rest.call("GET", "/v2/billing/pods", query=query).body.get("records"))
        mine = [number(row.get("totalAmount")) for row in found if row.get("podId") == machine]
        return sum(mine) if mine else None
