"""The shop's web processes, its customers, and orders over HTTP."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import connection
from knox.models import AuthToken

import sagas
from bench import cpu, database
from bench.client import LATE
from bench.results import percentile
from bench.servers import DIRECTORY, ROOT
from bench.throughput import Meter
from bench.workers import await_text, order_worker, running
from bench.workload import PRICE, Shop
from sagas import AlreadyDecided
from sagas.models import Run
from sagas.states import UNDECIDED

#: Of the customers' web, where payments have one of their own; as ``make run`` starts it.
NICENESS = 5
_CUSTOMERS = 2000
#: Seconds for which the last orders may take to end.
_PATIENCE = 60.0
#: Seconds between two looks at the oldest order under way.
_LOOK = 5.0
#: What a process of the web server logs when it serves.
_READY = "Booting worker"


def customers() -> list[str]:
    """Create customers; return their tokens."""
    manager = get_user_model()._default_manager
    made = manager.bulk_create(manager.model(username=f"bench-{number}") for number in range(_CUSTOMERS))
    return [AuthToken.objects.create(customer)[1] for customer in made]


@dataclass(frozen=True, slots=True)
class Held:
    """What came of a steady rate.

    Attributes:
        rate: orders a second, as sent.
        orders: how many were sent.
        succeeded: how many of them ended so.
        refused: other answers of the shop, by what they were.
        to_succeeded: milliseconds from when an order was due to its SUCCEEDED.
        placed: milliseconds of the answer to its POST, from when it was due.
        cpu: milliseconds of CPU an order, by kind of process; the client's is not in ``total``.
    """

    rate: float
    orders: int
    succeeded: int
    refused: Mapping[str, int]
    to_succeeded: list[float]
    placed: list[float]
    cpu: cpu.Seconds

    def within(self, milliseconds: float) -> bool:
        """Whether every order succeeded, and 99 of 100 within this time."""
        return self.succeeded == self.orders and percentile(self.to_succeeded, 99) <= milliseconds


class TooLate(Exception):
    """A rate is not held: orders fall ever further behind."""


class OpenShop:
    """The whole shop, on its way from HTTP to SUCCEEDED."""

    def __init__(
        self,
        shop: Shop,
        tokens: list[str],
        port: int,
        secret: str,
        meter: Mapping[str, list[int]],
        *,
        pay_port: int = 0,
    ) -> None:
        self._shop, self._tokens, self._port, self._secret, self._roots = shop, tokens, port, secret, meter
        self._pay_port = pay_port

    @property
    def meter(self) -> Meter:
        """Of the CPU from now on."""
        return Meter(**self._roots)

    @property
    def roots(self) -> list[int]:
        """The processes of web and workers, without their children."""
        return [root for roots in self._roots.values() for root in roots]

    def send(
        self,
        rate: float,
        seconds: float,
        *,
        late: float = 1e9,
        look: Callable[[], object] | None = None,
        skus: Sequence[str] = (),
    ) -> dict[str, Any]:
        """Send orders at a rate for some time, and pay each at once; return ``bench.client.Seen``.

        Args:
            rate: orders a second.
            seconds: for how long.
            late: seconds by which an order may be late.
            look: is called each second meanwhile.
            skus: of which the orders take a cup in turns; of all, if none is named.

        Raises:
            TooLate: the orders fall ever further behind.
        """
        plan = {**self._plan(rate, seconds), "late": late, **({"skus": list(skus)} if skus else {})}
        if look:
            # Under overload, who is not answered yet must not keep others from asking: below what two processes take.
            plan["connections"] = 1600
        command = [sys.executable, "-m", "bench.client"]
        found: dict[str, Any] = json.loads(self._run(command, json.dumps(plan), late, look))
        return found

    def follow(self, rate: float, seconds: float, **more: Any) -> dict[str, Any]:
        """Send orders of two kinds, and follow them; return ``bench.waiting_client.Followed`` of each kind."""
        command = [sys.executable, "-m", "bench.waiting_client"]
        plan = {**self._plan(rate, seconds), "late": 1e9, **more}
        found: dict[str, Any] = json.loads(self._run(command, json.dumps(plan), 1e9, None))
        return found

    def _plan(self, rate: float, seconds: float) -> dict[str, Any]:
        return {
            "port": self._port,
            "tokens": self._tokens,
            "secret": self._secret,
            "rate": rate,
            "orders": int(rate * seconds),
            "skus": self._shop.skus,
            "slots": self._shop.slots,
            "price": PRICE,
            "currency": settings.CURRENCY,
            "pay_port": self._pay_port,
        }

    def hold(self, rate: float, seconds: float, *, late: float = 1e9) -> Held:
        """Send orders at a rate for some time, pay each at once, and wait until all have ended.

        Args:
            rate: orders a second.
            seconds: for how long.
            late: seconds by which an order may be late.

        Raises:
            TooLate: the orders fall ever further behind.
        """
        orders = int(rate * seconds)
        meter = self.meter
        seen = self.send(rate, seconds, late=late)
        ended = self.await_ends(list(seen["due"]))
        costs = meter.per_run(orders)
        return Held(
            rate=rate,
            orders=orders,
            succeeded=len(ended),
            refused=seen["refused"],
            to_succeeded=[(at - seen["due"][order_no]) * 1000 for order_no, at in ended.items()],
            placed=seen["placed"],
            cpu={**costs, "client": seen["cpu"] * 1000 / orders},
        )

    def settle(self) -> None:
        """Wait until all orders have ended, or for as long as is reasonable.

        Those of a client that was stopped are never paid. They are cancelled: as open orders of its customers, they
        would make each order of the next rate dearer.
        """
        for run_id in Run.objects.filter(state__in=UNDECIDED).values_list("pk", flat=True):
            with contextlib.suppress(AlreadyDecided):
                sagas.cancel(run_id, reason="its client was stopped", by="bench")
        until = time.monotonic() + _PATIENCE
        while _oldest() > 0 and time.monotonic() < until:
            time.sleep(1)

    def _run(self, command: list[str], plan: str, late: float, look: Callable[[], object] | None) -> str:
        """Run the client; return its output."""
        with tempfile.TemporaryFile("w+") as given, tempfile.TemporaryFile("w+") as output:
            given.write(plan)
            given.seek(0)
            client = subprocess.Popen(command, stdin=given, stdout=output, cwd=ROOT)  # noqa: S603 - ours
            try:
                times, began = 0, time.time()
                while client.poll() is None:
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        client.wait(1.0 if look else _LOOK)
                    if look:
                        look()
                    times = times + 1 if _oldest(began) > late else 0
                    if times > 1:
                        raise TooLate
            finally:
                client.kill()
                client.wait()
            if client.returncode == LATE:
                raise TooLate
            if client.returncode:
                msg = f"the client ended with {client.returncode}"
                raise RuntimeError(msg)
            output.seek(0)
            return output.read()

    def await_ends(self, numbers: list[str], *, patience: float = _PATIENCE) -> dict[str, float]:
        """When each order succeeded, in seconds since the epoch, of those that did within so many seconds."""
        until = time.monotonic() + patience
        while len(ended := _ends(numbers)) < len(numbers) and time.monotonic() < until:
            time.sleep(1)
        return ended


def _oldest(since: float = 0.0) -> float:
    """Seconds for which the oldest order is under way, of those since then; without a time, of those that are paid."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT COALESCE(EXTRACT(EPOCH FROM clock_timestamp() - min(created_at)), 0)::float8 FROM sagas_run "
            "WHERE due_at IS NOT NULL AND created_at >= to_timestamp(%s) AND (%s > 0 OR state <> 'AWAITING_CONFIRM')",
            [since, since],
        )
        (age,) = cursor.fetchone()
        return float(age)


def _ends(numbers: list[str]) -> dict[str, float]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT o.order_no, EXTRACT(EPOCH FROM r.finished_at)::float8 FROM orders_order o "
            "JOIN sagas_run r ON r.id = o.run_id WHERE o.order_no = ANY(%s) AND r.state = 'SUCCEEDED'",
            [numbers],
        )
        return dict(cursor.fetchall())


@contextmanager
def open_shop(
    shop: Shop,
    tokens: list[str],
    environment: Mapping[str, str],
    *,
    apart: bool = False,
    application: str = "drinkgroup.wsgi",
) -> Iterator[OpenShop]:
    """Run web processes and a worker, as ``make run`` does.

    Args:
        shop: has stock and slots.
        tokens: of customers.
        environment: of both, besides this process's.
        apart: whether payments have a web of their own.
        application: that the customers' web serves.
    """
    secret = f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}"
    port = _free_port()
    given = {
        **environment,
        "DRINKGROUP_WEBHOOK_SECRET": secret,
        "SECRET_KEY": secrets.token_urlsafe(48),
    }
    with ExitStack() as stack:
        workers = stack.enter_context(order_worker(environment=given))
        webs = [stack.enter_context(_web(port, given, niceness=NICENESS if apart else 0, application=application))]
        pay_port = 0
        if apart:
            pay_port = _free_port()
            webs.append(stack.enter_context(_web(pay_port, given, "--workers", "1")))
        yield OpenShop(shop, tokens, port, secret, {"workers": workers, "web": webs}, pay_port=pay_port)


@contextmanager
def _web(
    port: int,
    environment: Mapping[str, str],
    *options: str,
    niceness: int = 0,
    application: str = "drinkgroup.wsgi",
) -> Iterator[int]:
    """Run a web that answers at this port; yield its process."""
    log = DIRECTORY / f"web-{port}.log"
    command = ["nice", "-n", str(niceness), sys.executable, "-m", "gunicorn", application]
    command += ["--bind", f"127.0.0.1:{port}"]
    command += ["--graceful-timeout", "3", *options]
    with running(command, log, environment) as process:
        await_text(log, process, _READY)
        database.until(lambda: _accepts(port), pause=0.1)
        yield process.pid


def _accepts(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def _free_port() -> int:
    # Below the range from which the system takes ports for outgoing connections.
    first = 20_000 + os.getpid() % 5_000
    for port in range(first, first + 1_000):
        with socket.socket() as tried:
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                tried.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    msg = "no free port"
    raise RuntimeError(msg)
