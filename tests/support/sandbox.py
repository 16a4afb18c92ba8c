"""The gateway of ``examples/sandbox-gateway``, as a real process that a test can have misbehave."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
from private_services import ports

from tests.support import servers
from tests.support.awaiting import eventually

PROGRAM = servers.ROOT / "examples" / "sandbox-gateway" / "gateway.py"
TOKEN = "of-the-sandbox"


class Sandbox:
    """One gateway on a port of its own. It sends no webhooks, unless it is given an address."""

    def __init__(self, folder: Path, *, secret: str, webhook: str = "") -> None:
        port = ports.choose(taken=())
        self.url = f"http://127.0.0.1:{port}"
        self._log = (folder / "gateway.log").open("wb")
        command = [sys.executable, str(PROGRAM), "--port", str(port), "--db", str(folder / "gateway.sqlite")]
        self._process = subprocess.Popen(
            [*command, "--webhook", webhook],
            stdout=self._log,
            stderr=self._log,
            env={"PATH": os.environ["PATH"], "DRINKGROUP_WEBHOOK_SECRET": secret, "GATEWAY_TOKEN": TOKEN},
        )
        self._http = httpx.Client(base_url=self.url, timeout=30)
        eventually(self._answers, what="the sandbox gateway answers")

    def _answers(self) -> bool:
        try:
            return self._http.get("/style.css").status_code == 200
        except httpx.TransportError:
            return False

    def paid(self, order_no: str, amount: int, *, decision: str = "succeeded") -> str:
        """Have a person pay, decline or close; return the payment's id."""
        page = self._http.get("/pay", params={"order_no": order_no, "amount": amount, "currency": "CNY"})
        where = page.headers["Location"]
        assert self._http.post(where, data={"decision": decision}).status_code == 303
        return str(where.removeprefix("/payments/"))

    def charged(self, run_id: UUID, order_no: str, amount: int) -> str:
        """Charge a card as this run is about to, whose own request is then a repeat; return the payment's id."""
        headers = {
            "Authorization": f"Bearer {TOKEN}",
            "Idempotency-Key": f"{run_id}:charge:forward",
            "X-Tx-ID": str(run_id),
            "X-Branch-ID": "charge",
        }
        asked = {"order_no": order_no, "amount": amount, "currency": "CNY", "card": "visa-4242"}
        answer = self._http.post("/charges", json=asked, headers=headers)
        assert answer.status_code == 200
        return str(answer.json()["payment_id"])

    def misbehave(self, **how: Any) -> None:
        """Do this wrong from now on, and nothing else."""
        assert self._http.post("/misbehave", data=how).status_code == 303

    def daily(self) -> str:
        """The file of today."""
        return self._http.get("/daily.csv").text

    def refunds(self) -> list[tuple[str, int]]:
        """Every refund that was made: the shop's id of it, and its amount."""
        rows = [line.split(",") for line in self.daily().splitlines()[1:]]
        return [(row[6], int(row[7])) for row in rows if row[4] == "refunded"]

    def stop(self) -> None:
        """End it."""
        self._http.close()
        self._process.terminate()
        self._process.wait(10)
        self._log.close()
