"""Where simulations are played: a database with a clock of its own, and the engine with its outside put in simulation.

Replaced is what speaks to Celery, kombu and Redis, and what is random or reads the machine's clock; nothing of what
decides, locks or writes.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import psycopg2
from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import connections

import sagas.api
import sagas.engine.claiming
import tests.lab.sagas
import tests.loyalty.sagas
from sagas import conf, runtime, store, tasks
from sagas.decisions import plan
from sagas.definition import retry
from sagas.definition.participants import Call
from sagas.engine import breakers, lifecycle
from sagas.messaging import dispatcher, publisher
from sagas.redis import client as redis_client
from sagas.states import State, check_transition
from tests.simulator import clock
from tests.simulator.cast import CHANGED, KEY, OWN, Changing
from tests.simulator.machines import Machines
from tests.simulator.prepared import Statements
from tests.simulator.session import ALIASES, Session
from tests.simulator.simulation import DEPTH, Simulation
from tests.simulator.trace import Schedule

#: Everything that a schedule may write.
_TABLES = {
    "default": (
        "sagas_run, sagas_log, sagas_confirmation, sagas_escalation, sagas_outbox, sagas_lock, sagas_breaker, "
        "sagas_breakersample, orders_order, orders_orderline, payments_payment, payments_paymentevent, inventory_sku, "
        "inventory_skuhold, delivery_slot, "
        "delivery_slothold, coupons_coupon, coupons_redemption, lab_mark, lab_jar, lab_jarhold, lab_label"
    ),
    "loyalty": "sagas_barrier, loyalty_stamp, loyalty_purse, loyalty_pursehold, loyalty_ribbon",
}
CUSTOMER = "customer-of-the-simulator"


class Bench:
    """A place to play one schedule after the other. Use it as ``with Bench.open() as bench``."""

    #: Those of the schedule that is played.
    machines: Machines

    def __init__(self) -> None:
        self.simulation: Simulation | None = None
        self.carrier = "orchestration"
        #: Whether participants that break have been mended.
        self.mended = False
        #: Shapes of other code that a process has loaded when a schedule begins.
        self.followed: dict[Any, Any] = {}
        self.statements = {alias: Statements(_scratch(alias)) for alias in ALIASES}
        self.sessions = [
            Session(number, self.point, self.waits, self.now, self.statements) for number in range(DEPTH + 1)
        ]
        self.customer_id = 0
        #: Rows that no other schedule may meet: the database was not emptied since.
        self.used: set[int] = set()

    @classmethod
    @contextmanager
    def open(cls) -> Iterator[Bench]:
        """Set it up in the databases of the settings, which have been migrated; and leave them empty."""
        with _memory():
            yield from cls._opened()

    @classmethod
    def _opened(cls) -> Iterator[Bench]:
        for alias in ALIASES:
            with connections[alias].cursor() as cursor:
                clock.install(cursor)
        bench = cls()
        customers = get_user_model()._default_manager
        bench.customer_id = customers.get_or_create(username=CUSTOMER)[0].pk
        # Once, and not by the first start of a schedule: its points would be others than those of the second.
        store.definitions.record(tests.lab.sagas.Lab.definition)
        _know_both_shapes()
        bench.followed = dict(runtime.memory.followed)
        bench.wipe()
        with ExitStack() as stack:
            bench._put_in_place(stack)
            try:
                yield bench
            finally:
                bench.wipe()
                for session in bench.sessions:
                    session.close()
                for statements in bench.statements.values():
                    statements.scratch.close()

    def now(self) -> float:
        return self.simulation.now if self.simulation else 0.0

    def point(self, what: str) -> None:
        if self.simulation is not None:
            self.simulation.point(what)

    def waits(self) -> bool:
        return self.simulation is not None and self.simulation.waits_for_locks()

    def begin(self, schedule: Schedule) -> Simulation:
        """Make ready for a schedule. One that was played before finds none of its rows."""
        if schedule.seed in self.used:
            self.wipe()
        self.used.add(schedule.seed)
        for session in self.sessions:
            session.reset()
        simulation = self.simulation = Simulation(schedule, self.sessions)
        self.machines = Machines(simulation)
        self.carrier = schedule.settings.get("carrier", "orchestration")
        self.mended = False
        recorded = runtime.memory.recorded
        runtime.reset()
        runtime.memory.recorded, runtime.memory.followed = recorded, dict(self.followed)
        return simulation

    def wipe(self) -> None:
        """Forget all schedules."""
        self.simulation = None
        self.used.clear()
        session = self.sessions[0]
        session.reset()
        session.query(f"TRUNCATE {_TABLES['default']}")
        session.query_elsewhere(f"TRUNCATE {_TABLES['loyalty']}")

    # -- in place of the outside --------------------------------------------------------------------------------------

    def _put_in_place(self, stack: ExitStack) -> None:
        def put(module: object, name: str, value: object) -> None:
            stack.enter_context(patch.object(module, name, value))

        # Runs that became due at the same time come in any order, but in one that a seed repeats.
        lock_due = store.claims.lock_due
        put(store.claims, "lock_due", lambda *args, **more: sorted(lock_due(*args, **more), key=lambda row: row.id))
        put(plan, "check_transition", self._check_transition)
        put(redis_client, "client", lambda *_: self.machines.redis)
        put(redis_client, "time", SimpleNamespace(monotonic=self.now))
        put(publisher, "_publish_chain", self._late("machines.publish_chain"))
        put(publisher, "send_task", self._late("machines.send_task"))
        for module in (publisher, dispatcher, tasks):
            put(module, "drop_connections", lambda _: None)
        put(tasks, "set_aside", self._late("machines.set_aside"))
        put(tasks, "pass_on", self._late("machines.pass_on"))
        put(dispatcher, "ask_for_dispatch", self._late("machines.ask_for_dispatch"))
        # Congestion, notices and the relay are not simulated: none of them moves a run.
        put(dispatcher, "is_time_to_look", lambda: False)
        put(dispatcher, "look_at_queues", lambda _: False)
        put(dispatcher, "publish_notices", lambda: 0)
        put(dispatcher, "_relay", lambda *_, **__: False)
        put(breakers, "prune_samples", lambda: None)
        # The age of the backlog is asked for by the machine's clock.
        put(sagas.api, "_backlog_age", lambda: 0.0)
        put(retry, "random", SimpleNamespace(uniform=self._late("simulation.uniform")))
        ids = SimpleNamespace(uuid7=self._late("simulation.new_id"), uuid4=self._late("simulation.any_id"))
        put(lifecycle, "uuid_utils", SimpleNamespace(compat=ids))
        for lab in (tests.lab.sagas, tests.loyalty.sagas):
            put(lab, "judge", self._judge(tests.lab.sagas.judge))
        stack.enter_context(_carriers(self))
        stack.enter_context(_silence())

    def _check_transition(self, before: State, after: State) -> None:
        check_transition(before, after)
        if before is not after:
            self._playing.tally.transitions[before.value, after.value] += 1

    @property
    def _playing(self) -> Simulation:
        assert self.simulation is not None
        return self.simulation

    def _late(self, name: str) -> Callable[..., Any]:
        """A method of the simulation, or of the machines, that play when it is called: each schedule has its own."""
        whose, _, method = name.partition(".")

        def late(*args: Any, **more: Any) -> Any:
            return getattr(getattr(self, whose), method)(*args, **more)

        return late

    def _judge(self, judge: Any) -> Any:
        def unless_mended(call: Call[Any]) -> None:
            if self.mended:
                return
            if (killer := f"{call.step}.{call.operation}") in call.request.kills:
                self._playing.kill(killer)
            judge(call)

        return unless_mended


@contextmanager
def _memory() -> Iterator[None]:
    """Have the process know the simulator's own sagas; at the end it knows what it knew, of its own database."""
    with runtime.apart():
        runtime.declared.definitions |= {(own.definition.name, 1): own.definition for own in OWN}
        yield


def _know_both_shapes() -> None:
    """Load what a process loads once: the shape of the runs that another code has begun."""
    for here, there in ((CHANGED, Changing), (Changing, CHANGED)):
        runtime.declared.definitions[KEY] = here.definition
        store.definitions.record(here.definition)
        runtime.memory.followed.pop((*KEY, there.definition.shape.number), None)
    for here, there in ((CHANGED, Changing), (Changing, CHANGED)):
        runtime.declared.definitions[KEY] = here.definition
        store.definitions.find(*KEY, there.definition.shape.number)


def _scratch(alias: str) -> Any:
    """A connection on which statements are tried."""
    parameters = connections[alias].get_connection_params()
    for name in ("cursor_factory", "context"):
        parameters.pop(name, None)
    connection = psycopg2.connect(**{**parameters, "options": clock.SEARCH_PATH})
    connection.autocommit = True
    return connection


def pin(bench: Bench, cpu: int) -> None:
    """Keep this process and its PostgreSQL backends on one processor, as nice as it is.

    They only ever wait for each other.
    """
    for session in bench.sessions:
        for line in session.lines.values():
            backend = line.raw.info.backend_pid
            os.sched_setaffinity(backend, {cpu})
            os.setpriority(os.PRIO_PROCESS, backend, os.getpriority(os.PRIO_PROCESS, 0))
    os.sched_setaffinity(0, {cpu})


class _Carriers(dict[str, str]):
    """``SAGAS["CARRIERS"]``: the schedule says how all sagas travel."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench

    def get(self, _saga: str, _default: Any = None) -> Any:
        return self.bench.carrier


@contextmanager
def _carriers(bench: Bench) -> Iterator[None]:
    changed = {**settings.SAGAS, "CARRIERS": _Carriers(bench), "REDIS_URL": "redis://simulated/0"}
    with patch.object(settings, "SAGAS", changed):
        conf.config.cache_clear()
        try:
            yield
        finally:
            conf.config.cache_clear()
    conf.config.cache_clear()


@contextmanager
def _silence() -> Iterator[None]:
    """What the engine logs of faults is of no use where faults are the rule."""
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)
