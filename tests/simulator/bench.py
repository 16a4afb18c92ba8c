"""Where simulations are played: a database with a clock of its own, and the engine with its outside put in simulation.

Replaced is what speaks to Celery, kombu and Redis, and what is random or reads the machine's clock; nothing of what
decides, locks or writes.
"""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch
from uuid import UUID

import psycopg2
from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import connections

import sagas.api
import sagas.engine.claiming
import tests.lab.sagas
import tests.loyalty.sagas
import webhooks.services
from orders import offers
from sagas import conf, runtime, store, tasks
from sagas.decisions import plan
from sagas.definition import retry
from sagas.definition.participants import Call, Location
from sagas.delivery import delivering, dispatching, short_path, ticks
from sagas.engine import breakers, lifecycle
from sagas.local import carrier as local_carrier
from sagas.local import worker as local_worker
from sagas.messaging import dispatcher, gathered_deadlines, publisher
from sagas.observability import burning
from sagas.postgresql import base as postgresql_base
from sagas.postgresql import sessions
from sagas.redis import client as redis_client
from sagas.states import COMPRESSED, State, check_transition
from sagas.store import workers
from tests.simulator import clock
from tests.simulator.cast import CHANGED, KEY, OWN, Changing, compressible
from tests.simulator.local_machines import LocalMachines
from tests.simulator.machines import Machines
from tests.simulator.prepared import Statements
from tests.simulator.session import ALIASES, Crash, Session
from tests.simulator.simulation import DEPTH, Simulation
from tests.simulator.trace import Schedule

#: Everything that a schedule may write.
_TABLES = {
    "default": (
        "sagas_run, sagas_log, sagas_confirmation, sagas_escalation, sagas_outbox, sagas_lock, sagas_breaker, "
        "sagas_shareddecision, sagas_pause, "
        "sagas_breakersample, orders_order, orders_orderline, orders_orderrefund, payments_payment, "
        "payments_paymentevent, payments_refund, inventory_sku, "
        "inventory_batch, inventory_move, inventory_skuholdday, inventory_skuhold, "
        "delivery_slot, delivery_fulfilment, delivery_fulfilmentmove, "
        "delivery_slothold, coupons_coupon, coupons_grant, lab_mark, lab_jar, lab_jarhold, lab_label"
    ),
    "loyalty": "sagas_barrier, loyalty_stamp, loyalty_purse, loyalty_pursehold, loyalty_ribbon",
}
CUSTOMER = "customer-of-the-simulator"


class Bench:
    """A place to play one schedule after the other. Use it as ``with Bench.open() as bench``."""

    #: Those of the schedule that is played.
    machines: Machines | LocalMachines

    def __init__(self) -> None:
        self.simulation: Simulation | None = None
        self.carrier = "orchestration"
        self._end_machines: Callable[[], None] = lambda: None
        #: Whether participants that break have been mended.
        self.mended = False
        #: Shapes of other code that a process has loaded when a schedule begins.
        self.followed: dict[Any, Any] = {}
        self.statements = {alias: Statements(_scratch(alias)) for alias in ALIASES}
        self.sessions = [
            Session(number, self.point, self.waits, self.now, self.statements) for number in range(DEPTH + 1)
        ]
        self.compressible = compressible()
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
                bench.compress(compressed=False)
                bench._end_machines()
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
        self._end_machines()
        self._set_broker(work="work" in schedule.settings)
        self.machines = LocalMachines(simulation) if "work" in schedule.settings else Machines(simulation)
        self._end_machines = self.machines.close
        self.carrier = schedule.settings.get("carrier", "orchestration")
        self.compress(compressed=schedule.settings.get("lifecycle") == COMPRESSED)
        self.mended = False
        recorded = runtime.memory.recorded
        runtime.reset()
        runtime.memory.recorded, runtime.memory.followed = recorded, dict(self.followed)
        # The simulator's sessions prepare what they can. What the engine prepares in one lasts beyond a schedule.
        runtime.memory.prepares = False
        self._crowd(crowded="floor" in schedule.settings)
        offers.forget()
        webhooks.services.forget()
        return simulation

    def compress(self, *, compressed: bool) -> None:
        """Have all sagas that may be compressed, or none."""
        for definition in self.compressible:
            for variant in definition.variants.values():
                # A definition is frozen. Nothing else that it remembers depends on this.
                object.__setattr__(variant, "compressed", compressed)

    def _crowd(self, *, crowded: bool) -> None:
        """Have claims look from a floor on, or not. No look takes any of the simulated time."""
        runtime.memory.is_due_crowded = crowded
        store.claims._CROWDED = 0.0 if crowded else math.inf

    def _set_broker(self, *, work: bool) -> None:
        """Have the processes work with a broker, or without."""
        wanted = None if work else "rabbitmq"
        if settings.SAGAS["BROKER"] != wanted:
            settings.SAGAS["BROKER"] = wanted
            conf.config.cache_clear()

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
        for module in (publisher, tasks):
            put(module, "drop_connections", lambda _: None)
        put(publisher.Publisher, "set_aside", self._late("machines.set_aside"))
        put(tasks, "pass_on", self._late("machines.pass_on"))
        put(dispatcher, "ask_for_dispatch", self._late("machines.ask_for_dispatch"))
        # Congestion, notices and the relay are not simulated: none of them moves a run.
        put(dispatching, "is_time_to_look", lambda: False)
        put(dispatching, "look_at_queues", lambda _: False)
        for module in (dispatching, local_worker):
            put(module, "publish_notices", lambda _: 0)
            put(module, "publish_burn_notices", lambda _: 0)
        # Budgets are judged by real time, and burn in schedules that last for days.
        put(burning, "judge_on_tick", lambda: None)
        put(dispatcher, "_relay", lambda *_, **__: False)
        put(breakers, "prune_samples", lambda: None)
        put(workers, "_notify", self._late("machines.notify"))
        put(local_worker, "deliver_chain", self._watch_chain(delivering.deliver_chain))
        for module in (local_worker, local_carrier, ticks, gathered_deadlines):
            put(module, "time", SimpleNamespace(monotonic=self.now))
        put(store.claims, "time", SimpleNamespace(monotonic=self.now))
        put(sagas.engine.claiming, "time", SimpleNamespace(monotonic=self.now))
        # As it is at the end; each schedule sets it.
        put(store.claims, "_CROWDED", store.claims._CROWDED)
        for module in (short_path, dispatching):
            put(module, "time", SimpleNamespace(monotonic=self.now))
            watched = self._watch_short_path(module.perform_delivery, is_first=module is dispatching)
            put(module, "perform_delivery", watched)
        # Sessions are looked up by the actor here, not by the thread: a thread of its own would get another's.
        put(sessions, "_Watch", lambda using: SimpleNamespace(using=using, found="", pid=0, stop=lambda: None))
        # Whether a session was idle is a question of real time, and a statement more or less.
        put(postgresql_base, "IDLE", float("inf"))
        put(offers, "clock", self.now)
        put(webhooks.services, "clock", self.now)
        # The age of the backlog is asked for by the machine's clock.
        put(sagas.api, "_looks", lambda _: ())
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

    def _watch_chain(self, deliver_chain: Callable[..., None]) -> Callable[..., None]:
        def watched(*args: Any, **more: Any) -> None:
            assert isinstance(self.machines, LocalMachines)
            self.machines.watch(deliver_chain)(*args, **more)

        return watched

    def _watch_short_path(self, perform: Callable[..., Any], *, is_first: bool) -> Callable[..., Any]:
        """Complain where a step is performed without a message for a run to which something has happened."""

        def watched(link: Any, ids: Sequence[UUID], past: Any, **more: Any) -> Any:
            simulation = self._playing
            if not is_first and simulation.running[-1].alone:
                simulation.complain("path", f"{link.step} follows a delivery that was to perform one link only")
            where = {(run_id, link.step, link.phase) for run_id in ids}
            definition = store.definitions.find(link.saga, link.version, link.shape)
            index = definition.index(link.step)
            if definition.action(index, link.phase).location is Location.CHILD:
                # A child is asked again and again. Each answer is progress, and the run is claimed as fresh.
                where = set()
            if plan.is_fork(definition, index, link.phase):
                simulation.complain("path", f"{link.step} is a branch of a fork, and is performed without a message")
            resumed = self.mended or any(item.verb == "resume" for item in simulation.schedule.items)
            if (again := where & simulation.died_at) and not resumed:
                names = sorted(simulation.names.get(run_id, "?") for run_id, *_ in again)
                simulation.complain("path", f"{names} killed a process at {link.step}, and go there without a message")
            running = simulation.running[-1]
            commits = running.commits
            try:
                return perform(link, ids, past, **more)
            except Crash:
                if running.commits == commits:
                    # Behind its commit a process dies of nothing that the step does, and the run may come here again.
                    simulation.died_at |= where
                raise

        return watched

    def _judge(self, judge: Any) -> Any:
        def unless_mended(call: Call[Any]) -> None:
            if self.mended:
                return
            if any(isinstance(result, tests.lab.sagas.Given) for result in call.results.values()):
                self._playing.complain("result", f"{call.step} gets a result that was never stored and read")
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
    changed = {**settings.SAGAS, "CARRIERS": _Carriers(bench), "REDIS_URL": "redis://simulated/0", "BROKER": "rabbitmq"}
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
