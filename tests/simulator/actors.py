"""Who is not the engine: customers, payment providers, operators, and the machines on which all of it runs.

Callers do what callers do: who got no answer asks again. What each was told is kept, for the end must agree with it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from random import Random
from typing import Any
from uuid import UUID

from django.db import DatabaseError, IntegrityError, close_old_connections, transaction

import sagas
import sagas.engine.claiming
from orders import services, sold_out
from orders.errors import OrderNotFound, OrderRefused
from orders.models import Order
from orders.sagas import PlaceOrder
from payments import services as payments
from payments.models import Outcome
from sagas import Locked, RunNotFound, Saga, State, runtime
from sagas.definition import registry
from sagas.engine.subsagas import child_run_id
from sagas.errors import AlreadyDecided, DecidedOtherwise, InvalidArgument, NotApplicable, UnknownSaga
from sagas.operations import actions
from sagas.operations.actions import Target
from tests.lab.sagas import Experiment
from tests.simulator import clock
from tests.simulator.bench import Bench
from tests.simulator.cast import CHANGED, KEY, SAGAS, Changing, Traits
from tests.simulator.simulation import Activity, Simulation
from tests.simulator.trace import Item

#: How often a caller asks who gets no answer, and after how many seconds.
PATIENCE = 4
AGAIN = 1.5
#: After so many seconds nothing is paused any more.
ALL_ENDED = 40_000.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What a caller was told.

    Attributes:
        verb: what was asked.
        run: of which run.
        what: the confirmation's name, where it is about one.
        ok: whether it was done.
        state: the run's state, as far as it was told.
        data: what came with the confirmation that was taken.
    """

    verb: str
    run: str
    what: str
    ok: bool
    state: State | None = None
    data: Any = None


@dataclass(slots=True)
class Started:
    """A run that somebody wanted."""

    name: str
    run_id: UUID
    saga: type[Saga[Any]]
    item: Item
    parent: str = ""
    #: Whether the caller knows that it is there.
    there: bool = False


class Actors:
    """All who act in one schedule.

    ``runs`` has those that were to be started, and the children that they may have, by name.
    """

    def __init__(self, bench: Bench, simulation: Simulation) -> None:
        self.bench = bench
        self.simulation = simulation
        self.runs: dict[str, Started] = {}
        self.answers: list[Answer] = []
        #: What those who decided about the group were told: whether it forms.
        self.decisions: list[bool] = []
        self._foreign: set[Any] = set()
        self.key = f"{simulation.schedule.seed:x}"
        #: When the first process has the new code, and when the last has; and when it is taken back.
        self.deployed = (math.inf, math.inf)
        self.rolled_back = (math.inf, math.inf)
        #: Whether the code of before the deploy knows nothing of its saga.
        self.forgets = False
        simulation.enters = self.take_code
        self._set_the_stage()
        for number, item in enumerate(simulation.schedule.items):
            if item.at is not None:
                self._enter(item, number)

    # -- the stage ----------------------------------------------------------------------------------------------------

    @property
    def stock(self) -> int:
        """How much of everything there is."""
        return int(self.simulation.schedule.settings.get("stock", "100"))

    @property
    def slot(self) -> int:
        """Number of the delivery slot."""
        return int(self.key, 16) % 2**62 + 1

    def _set_the_stage(self) -> None:
        wanted = {item.get("saga") for item in self.simulation.schedule.items if item.verb == "start"}
        # No two slots are at the same time.
        opens = f"timestamptz '2031-01-01Z' + {self.slot % 10**9} * interval '1 second'"
        sql = ""
        if "PlaceOrder" in wanted:
            sql += (
                f"INSERT INTO inventory_sku VALUES ('tea-{self.key}', 'Tea', 1500, true);"
                f"UPDATE inventory_batch SET available = {{stock}} WHERE key = 'tea-{self.key}';"
                "INSERT INTO delivery_slot (available, held, sold, id, starts_at, ends_at) VALUES "
                f"({{stock}}, 0, 0, {self.slot}, {opens}, {opens} + interval '1 hour');"
                "INSERT INTO coupons_coupon (code, discount_cents, expires_at) VALUES "
                + ", ".join(f"('{name}-{self.key}', 500, '2031-01-01Z')" for name in ("shared", *"abcdefgh"))
                + ";"
            )
        if any(Traits(SAGAS[name]).takes for name in wanted - {"PlaceOrder"}):
            sql += f"INSERT INTO lab_jar (available, held, sold, name) VALUES ({{stock}}, 0, 0, 'jar-{self.key}');"
        if sql:
            self.simulation.sessions[0].query(sql.format(stock=self.stock))
        if any(name.startswith("Afar") for name in wanted):
            self.simulation.sessions[0].query_elsewhere(
                f"INSERT INTO loyalty_purse (available, held, sold, name) VALUES ({self.stock}, 0, 0, 'jar-{self.key}')"
            )

    def _enter(self, item: Item, number: int) -> None:
        assert item.at is not None
        match item.verb:
            case "start":
                self._introduce(item)
                act: Callable[[], None] = partial(self._start, item)
            case "confirm" | "cancel" | "refuse" | "resume" | "resolve":
                act = partial(self._ask, item, number)
            case "pause" | "unpause":
                act = partial(self._pause, item)
                self.simulation.post(ALL_ENDED, Activity("end pauses", self._end_pauses))
            case "decide":
                act = partial(self._decide, item)
            case "deploy":
                duration = item.number("for")
                self.deployed = item.at, item.at + duration
                self.simulation.tally.faults["deploy"] += 1
                if item.get("back"):
                    back = self.deployed[1] + item.number("back")
                    self.rolled_back = back, back + duration
                    self.forgets = bool(item.get("gone"))
                    self.simulation.tally.faults["rollback"] += 1
                return
            case "empty" | "away" | "leak":
                self.simulation.post(item.at, Activity(f"{item.verb}:{item.subject}", partial(self._weather, item)))
                return
            case _:
                msg = f"nobody knows how to {item.verb}"
                raise ValueError(msg)
        self._call(item.at, f"{item.verb}({item.subject})", act)

    def _introduce(self, item: Item) -> None:
        saga = SAGAS[item.get("saga")]
        run_id = UUID(int=Random(f"{self.simulation.schedule.seed}|{item.subject}").getrandbits(128))
        self._know(Started(item.subject, run_id, saga, item))

    def _know(self, started: Started) -> None:
        self.runs[started.name] = started
        self.simulation.names[started.run_id] = started.name
        for step, child in Traits(started.saga).children.items():
            name = f"{started.name}.{step}"
            self._know(Started(name, child_run_id(started.run_id, step), child, started.item, parent=started.name))

    def take_code(self, name: str, began: float) -> None:
        """Have the process that does something have the code that it had when it began: while a deploy rolls, either.

        What a person has mended is deployed again, if it had been taken back.
        """
        back = self._has_come(self.rolled_back, name, began) and not self.bench.mended
        new = self._has_come(self.deployed, name, began) and not back
        definition = None if back and self.forgets else (Changing if new else CHANGED).definition
        if runtime.declared.definitions.get(KEY) is not definition:
            runtime.declared.definitions.pop(KEY, None)
            if definition is not None:
                runtime.declared.definitions[KEY] = definition
            # What a process has seen of others' runs is its own.
            self._foreign, runtime.memory.foreign = runtime.memory.foreign, self._foreign

    def _has_come(self, rolling: tuple[float, float], name: str, at: float) -> bool:
        """Whether a change had come to the process that did this then: it rolls over all from one time to another."""
        first, last = rolling
        return at >= last or (at >= first and Random(f"{self.simulation.schedule.seed}|{name}|code").random() < 0.5)

    def have_all_code(self) -> None:
        """For whoever looks at what is left."""
        runtime.declared.definitions[KEY] = Changing.definition

    # -- callers ------------------------------------------------------------------------------------------------------

    def _call(self, at: float, label: str, act: Callable[[], None], attempt: int = 1) -> None:
        """Have a caller ask at a time, and again if there was no answer."""

        def request() -> None:
            # As Django does where a request begins: what a hook has broken is no concern of the next one.
            close_old_connections()
            act()

        def again() -> None:
            if attempt < PATIENCE:
                self._call(self.simulation.now + AGAIN, label, act, attempt + 1)

        def broke(error: Exception) -> bool:
            again()
            # The API answers 500: the caller knows no more than if it had died.
            return isinstance(error, DatabaseError) or (self.forgets and isinstance(error, UnknownSaga))

        self.simulation.post(at, Activity(self.simulation.numbered(label), request, again, broke))

    def _start(self, item: Item) -> None:
        started = self.runs[item.subject]
        try:
            if started.saga is PlaceOrder:
                self.simulation.next_ids[self.simulation.depth] = started.run_id
                self._order(item)
            else:
                saga = started.saga
                if saga is Changing and registry.find_registered(*KEY) is CHANGED.definition:
                    saga = CHANGED
                sagas.start(saga, self.experiment(item), business_key=item.subject, run_id=started.run_id)
        except IntegrityError:
            pass  # an earlier attempt got through
        except (Locked, OrderRefused):
            return
        finally:
            # The id was not drawn if it broke before: the next run is another one.
            self.simulation.next_ids.pop(self.simulation.depth, None)
        started.there = True

    def _order(self, item: Item) -> None:
        wanted = [services.Wanted(f"tea-{self.key}", int(item.get("cups", "1")))]
        name = {"yours": item.subject, "shared": "shared"}.get(item.get("coupon"))
        # What it knows is of this second, by the real clock: the same schedule would end otherwise the next time.
        sold_out.forget()
        with transaction.atomic():
            services.place_order(
                order_no=self.order_no(item.subject),
                customer_id=self.bench.customer_id,
                items=wanted,
                slot=self.slot,
                coupon=f"{name}-{self.key}" if name else None,
            )

    def order_no(self, name: str) -> str:
        """What a customer knows an order by."""
        return f"{self.key}-{name}"

    def experiment(self, item: Item) -> Experiment:
        """What a run of the laboratory is asked for."""
        faults = [word.split(":") for word in item.get("faults").split(",") if word]
        return Experiment(
            jar=f"jar-{self.key}" if Traits(SAGAS[item.get("saga")]).takes else "",
            quantity=int(item.get("quantity", "1")),
            reject=tuple(item.get("reject").split(",")) if item.get("reject") else (),
            faults={operation: int(times) for operation, times in faults},
            kills=tuple(item.get("kills").split(",")) if item.get("kills") else (),
            skip=tuple(item.get("skip").split(",")) if item.get("skip") else (),
            keys=tuple(f"{self.key}-{key}" for key in item.get("keys").split(",") if key),
            group=f"{self.key}-{item.get('group')}",
            closes_at=clock.EPOCH + timedelta(seconds=item.number("closes", 45.0)),
        )

    def _decide(self, item: Item) -> None:
        declines = item.get("answer") == "no"
        try:
            with transaction.atomic():
                sagas.decide(
                    SAGAS[item.get("saga")],
                    "formed",
                    f"{self.key}-{item.subject}",
                    decline="too few" if declines else None,
                )
        except DecidedOtherwise as other:
            self.decisions.append(not other.declined)
        else:
            self.decisions.append(not declines)

    def _pause(self, item: Item) -> None:
        """Pause something of a run, or let it go on."""
        started = self.runs.get(item.subject)
        if started is None:
            return
        begins = item.verb == "pause"
        self.simulation.tally.faults[item.verb] += begins
        saga = started.saga.definition.name
        target = {
            "saga": Target("saga", saga),
            "step": Target("step", saga, item.get("step")),
            "starts": Target("starts"),
        }.get(item.get("scope"))
        try:
            if target is None:
                action = actions.Pause() if begins else actions.Unpause()
                actions.carry_out(action, started.run_id, by="somebody", reason="to look at it")
            elif begins:
                actions.pause(target, by="somebody", reason="it moves")
            else:
                actions.unpause(target, by="somebody", reason="it has moved")
        except (NotApplicable, RunNotFound):
            return
        except InvalidArgument:
            # The code that runs may not have the step: it comes, or goes, with a deploy.
            if started.saga is not Changing:
                raise

    def _end_pauses(self) -> None:
        """End all pauses: whoever was to end one may have died each time."""
        self.simulation.sessions[0].query("UPDATE sagas_pause SET ended_at = now() WHERE ended_at IS NULL")

    def _ask(self, item: Item, number: int) -> None:
        started = self.runs.get(item.subject)
        if started is None:
            return
        try:
            state, data = self._asked(item, started, number)
        except (RunNotFound, OrderNotFound):
            return
        except AlreadyDecided as decided:
            self.answers.append(Answer(item.verb, item.subject, item.get("what"), ok=False, state=State(decided.state)))
        else:
            self.answers.append(Answer(item.verb, item.subject, item.get("what"), ok=True, state=state, data=data))

    def _asked(self, item: Item, started: Started, number: int) -> tuple[State | None, Any]:
        run_id, by = started.run_id, "somebody"
        order = self.order_no(item.subject) if started.saga is PlaceOrder else ""
        match item.verb:
            case "confirm" if order:
                # One payment: a repeat is the same one.
                answer = self._pay(order, f"p-{item.subject}")
                return answer.state, (f"p-{item.subject}", answer.received_at)
            case "confirm":
                receipt = sagas.confirm(run_id, item.get("what"), {"number": number})
                return receipt.state, (receipt.data["number"], receipt.received_at)
            case "cancel" if order:
                return services.cancel_order(customer_id=self.bench.customer_id, order_no=order), None
            case "cancel":
                return sagas.cancel(run_id, reason="a wish", by=by), None
            case "refuse":
                return sagas.decline(run_id, item.get("what"), reason="declined", by=by), None
            case "resume":
                return sagas.resume(run_id, by=by), None
        outcome = State.SUCCEEDED if number % 2 else State.FAILED
        return sagas.resolve(run_id, outcome=outcome, by=by, note="by hand"), None

    def _pay(self, order_no: str, payment_id: str) -> payments.Answer:
        """Send what the gateway signs; ``AlreadyDecided`` where the payment is due back."""
        total_cents = Order.objects.filter(order_no=order_no).values_list("total_cents", flat=True).first()
        if total_cents is None:
            raise OrderNotFound(order_no)
        message = payments.Message(payment_id, "{}", order_no, payment_id, total_cents, "CNY", payments.SUCCEEDED)
        answer = services.receive_payment(message=message).answer
        if answer.outcome is not Outcome.TAKEN:
            raise AlreadyDecided(f"the payment is {answer.outcome}", answer.state or State.FAILED)
        return answer

    # -- machines -----------------------------------------------------------------------------------------------------

    def _weather(self, item: Item) -> None:
        simulation, machines = self.simulation, self.bench.machines
        simulation.tally.faults[f"{item.verb} {item.subject}"] += 1
        match item.verb, item.subject:
            case "empty", "broker":
                machines.lose_messages()
            case "empty", "redis":
                machines.redis.forget()
            case "away", "broker":
                machines.broker_away_until = simulation.now + item.number("for")
            case "away", "redis":
                machines.redis.away_until = simulation.now + item.number("for")
            case "leak", queue:
                machines.leaks[queue] = simulation.now + item.number("for")

    # -- the end ------------------------------------------------------------------------------------------------------

    def mend(self, escalated: list[UUID]) -> None:
        """Somebody mends what was broken, and resumes what waits for a person."""
        self.bench.mended = True
        self.bench.machines.leaks.clear()
        for run_id in escalated:
            name = self.simulation.names[run_id]
            item = Item("resume", name, self.simulation.now)
            self._call(self.simulation.now, f"mended({name})", partial(self._ask, item, 0))
