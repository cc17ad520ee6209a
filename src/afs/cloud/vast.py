"""vast.ai: eight calls of its REST interface. Prices are by the hour; a machine costs disk from its creation on."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import msgspec

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
from afs.errors import ProviderError
from afs.types import Json

URL = "https://console.vast.ai"
_HOURS_PER_MONTH = 730.0
_STATES: dict[str, MachineState] = {
    "": "starting",
    "created": "starting",
    "loading": "starting",
    "rebooting": "starting",
    "running": "running",
    "stopped": "stopped",
    "frozen": "stopped",
    "exited": "dead",
    "unknown": "dead",
    "offline": "dead",
}
_DEAD_WORDS = ("oci runtime create failed", "no such image", "error response from daemon")
_LIMIT = 200


class Vast:
    """The provider `vast`."""

    name = "vast"

    def __init__(self, key: str, url: str = "", *, sleep: Callable[[float], None] = time.sleep) -> None:
        self._rest = Rest(self.name, url or URL, key, sleep=sleep)

    def offers(self, need: Need) -> list[Offer]:
        """Verified machines with a direct port."""
        wanted: Json = {
            "limit": _LIMIT,
            "type": "bid" if need.spot else "ondemand",
            "verified": {"eq": True},
            "rentable": {"eq": True},
            "num_gpus": {"eq": 1},
            "gpu_ram": {"gte": need.gpu_gb * 1000},
            "disk_space": {"gte": need.disk_gb},
            "reliability": {"gte": need.reliability},
            "direct_port_count": {"gte": 1},
            "compute_cap": {"gte": need.compute * 100},
            "allocated_storage": need.disk_gb,
        }
        body = self._rest.call("POST", "/api/v0/bundles/", wanted).body
        found = [self._offer(row, need) for row in rows(body.get("offers"))]
        return [one for one in found if one is not None and need.gpu.lower() in one.gpu.lower()]

    def _offer(self, row: Json, need: Need) -> Offer | None:
        price = number(row.get("min_bid" if need.spot else "dph_base"), -1.0)
        if row.get("id") is None or price < 0 or number(row.get("gpu_ram")) < need.gpu_gb * 1000:
            return None  # without a price or an id nothing can be decided, and filters are not always obeyed
        return Offer(
            provider=self.name,
            id=str(row["id"]),
            gpu=str(row.get("gpu_name", "unknown")),
            gpu_gb=number(row.get("gpu_ram")) / 1000,
            usd_hour=price,
            storage_usd_hour=number(row.get("storage_cost")) * need.disk_gb / _HOURS_PER_MONTH,
            transfer_usd_gb=max(number(row.get("inet_up_cost")), number(row.get("inet_down_cost"))),
            speed=max(number(row.get("dlperf"), 0.0) / 100, 0.05) if row.get("dlperf") else 1.0,
            reliability=number(row["reliability"]) if row.get("reliability") is not None else None,
            place=str(row.get("geolocation") or ""),
            spot=need.spot,
        )

    def create(self, order: RentalOrder) -> RentedMachine:
        """Rent an offer. An error may still have made a machine: its id comes with the exception."""
        body: Json = {
            "image": order.image,
            "label": order.label,
            "disk": order.disk_gb,
            "runtype": "ssh_direct",
            "env": {"-p 22:22": "1"},
            "onstart": order.onstart,
            "target_state": "running",
            "cancel_unavail": True,
        }
        if order.offer.spot:
            body["price"] = order.offer.usd_hour
        try:
            answer = self._rest.call("PUT", f"/api/v0/asks/{order.offer.id}/", body, repeat=False).body
        except RestError as error:
            raise CreateError(str(error), _contract(error.body)) from error
        made = _contract(answer)
        if not made or answer.get("success") is False:
            raise CreateError(f"vast: the offer {order.offer.id} was not rented: {answer.get('msg', answer)}", made)
        return RentedMachine(
            provider=self.name, id=made, label=order.label, state="starting", usd_hour=order.offer.usd_hour
        )

    def get(self, machine: str) -> RentedMachine | None:
        """None only for the provider's own 404."""
        try:
            body = self._rest.call("GET", f"/api/v0/instances/{machine}/").body
        except RestError as error:
            if error.status == 404:
                return None
            raise
        row = table(body.get("instances"))
        return self._machine(row) if row else None

    def list(self) -> list[RentedMachine]:
        """Every page."""
        found: list[RentedMachine] = []
        token = ""
        while True:
            query = {"limit": 25, **({"after_token": token} if token else {})}
            body = self._rest.call("GET", "/api/v1/instances/", query=query).body
            if "instances" not in body:
                raise ProviderError("vast: the list of instances has no `instances`; not taken for an empty one")
            found += [self._machine(row) for row in rows(body["instances"])]
            token = str(body.get("next_token") or "")
            if not token:
                return found

    def _machine(self, row: Json) -> RentedMachine:
        said = str(row.get("actual_status") or "")
        state = _STATES.get(said, "starting")
        if state == "starting" and any(word in str(row.get("status_msg") or "").lower() for word in _DEAD_WORDS):
            state = "dead"
        host, port = row.get("public_ipaddr"), _direct_port(row)
        ssh = SshPlace(host=str(host).strip(), port=port) if host and port else None
        return RentedMachine(
            provider=self.name,
            id=str(row.get("id")),
            label=str(row.get("label") or ""),
            state=state,
            said=said or "none yet",
            usd_hour=number(row.get("dph_total")),
            ssh=ssh,
            gpu=str(row.get("gpu_name") or ""),
        )

    def destroy(self, machine: str) -> None:
        """`success: false` is a failure, 404 is not."""
        try:
            body = self._rest.call("DELETE", f"/api/v0/instances/{machine}/").body
        except RestError as error:
            if error.status == 404 or error.body.get("error") == "no_such_instance":
                return
            raise
        if body.get("success") is False and body.get("error") != "no_such_instance":
            raise ProviderError(f"vast: {machine} was not destroyed: {body.get('msg', body)}")

    def logs(self, machine: str) -> str:
        """The address where the provider puts the log."""
        body = self._rest.call("PUT", f"/api/v0/instances/request_logs/{machine}/", {}).body
        return f"the log appears at {body.get('result_url', 'no address given')}"

    def volumes(self) -> Sequence[Volume]:
        """Storage that was rented apart."""
        body = self._rest.call("GET", "/api/v0/volumes/").body
        return [
            Volume(provider=self.name, id=str(r.get("id")), label=str(r.get("label") or ""), gb=number(r.get("size")))
            for r in rows(body.get("volumes"))
        ]

    def bill(self, machine: str, since: float) -> float | None:
        """Charges of one contract."""
        filters = {"day": {"gte": int(since) - 86400, "lte": int(time.time()) + 86400}, "type": {"in": ["instance"]}}
        token, total, seen = "", 0.0, False
        while True:
            query = {"select_filters": msgspec.json.encode(filters).decode(), "limit": 500}
            body = self._rest.call(
                "GET", "/api/v0/charges/", query=query | ({"after_token": token} if token else {})
            ).body
            mine = [
                number(r.get("amount")) for r in rows(body.get("results")) if r.get("source") == f"instance-{machine}"
            ]
            total, seen = total + sum(mine), seen or bool(mine)
            token = str(body.get("next_token") or "")
            if not token:
                return total if seen else None


def _contract(body: Json) -> str:
    value = body.get("new_contract")
    return str(value) if value not in (None, "", False) else ""


def _direct_port(row: Json) -> int:
    """The public port of the machine's own sshd."""
    for entry in rows(table(row.get("ports")).get("22/tcp")):
        if str(entry.get("HostPort", "")).isdigit():
            return int(str(entry["HostPort"]))
    return int(number(row.get("direct_port_start"))) if number(row.get("direct_port_start")) > 0 else 0
