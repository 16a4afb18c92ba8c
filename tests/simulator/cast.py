"""Which sagas are played, and what is drawn for a seed: who starts what, and what people do when.

The shop's ``PlaceOrder``, and those of the laboratory that have each feature of the engine: forks, sub-sagas, pivots,
several confirmations, time-outs, business keys, events, steps in another database.
"""

from __future__ import annotations

import string
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from random import Random
from types import new_class
from typing import Any

from orders.sagas import PlaceOrder
from sagas import Confirmation, Saga, Step, SubSaga, runtime
from sagas.definition.definition import Definition
from sagas.definition.participants import Phase
from sagas.definition.saga import check_compressible
from sagas.errors import DefinitionError
from sagas.states import COMPRESSED, ORCHESTRATION
from tests.lab import sagas as lab
from tests.lab.sagas import QUICK, Experiment
from tests.loyalty import sagas as loyalty
from tests.simulator.trace import Item, Schedule


class Small(Saga[Experiment]):
    """Two steps and a confirmation: the least that has all states."""

    name = "lab.Small"

    approval = Confirmation(within=timedelta(seconds=30), needs_compensation=False)

    one = Step(lab.mark, confirm=lab.mark, compensate=lab.mark, queue="orders", retry=QUICK, finish_retry=QUICK)
    two = Step(lab.mark_all, compensate=lab.mark_all, queue="coupons", retry=QUICK, finish_retry=QUICK)


#: Name and version of the saga that a deploy changes.
KEY = ("lab.Changed", 1)


def _changing(**steps: Step) -> type[Saga[Any]]:
    """One of the two shapes of a saga that a deploy changes."""
    runtime.declared.definitions.pop(KEY, None)
    body = {
        "name": KEY[0],
        "__module__": __name__,
        "approval": Confirmation(within=timedelta(seconds=30), needs_compensation=False),
        **steps,
    }
    return new_class("Changing", (Saga[Experiment],), exec_body=lambda namespace: namespace.update(body))


def _step(queue: str) -> Step:
    return Step(lab.mark, confirm=lab.mark, compensate=lab.mark, queue=queue, retry=QUICK, finish_retry=QUICK)


#: Before and after a deploy, of one name and version: the new code has a step more, in the middle.
CHANGED = _changing(one=_step("orders"), two=_step("coupons"))
Changing = _changing(one=_step("orders"), added=_step("delivery"), two=_step("coupons"))

#: Known to the engine only while a bench is open: the other tests in this process have the sagas that they have.
OWN = (Small, CHANGED, Changing)
for _own in OWN:
    runtime.declared.definitions.pop((_own.definition.name, _own.definition.version), None)

#: By name, and how likely each is.
WEIGHTS: dict[type[Saga[Any]], int] = {
    PlaceOrder: 34,
    Small: 24,
    lab.Lab: 8,
    lab.Forked: 6,
    lab.Pivoted: 5,
    lab.Charged: 4,
    lab.Twice: 4,
    lab.Closing: 4,
    lab.Unconfirmed: 3,
    lab.Hurried: 4,
    lab.Parent: 3,
    lab.Telling: 3,
    lab.KeyedTillApproved: 4,
    lab.KeyedParent: 1,
    loyalty.Afar: 5,
    loyalty.AfarForked: 3,
    Changing: 5,
    # Some of the runs of ``Small``: what was drawn for a seed before there was this one is still drawn for it.
    lab.Choosy: 0,
}
#: Decided together with others of their group; drawn apart.
GROUPS: tuple[type[Saga[Any]], ...] = (lab.Grouped, lab.PaidGroup)
SAGAS = {saga.__name__: saga for saga in (*WEIGHTS, *GROUPS)}


def compressible() -> list[Definition]:
    """The definitions that may be compressed."""
    return [one.definition for one in (*WEIGHTS, *GROUPS, CHANGED) if _may_be_compressed(one.definition)]


def _may_be_compressed(definition: Definition) -> bool:
    try:
        check_compressible("", definition, carrier=ORCHESTRATION)
    except DefinitionError:
        return False
    return True


#: The share of the schedules in which ``manage.py sagas work`` performs, in place of Celery's workers.
WITHOUT_BROKER = 0.25
#: The share of these in which its processes are of several programs, each for some queues (``--queues``). Together the
#: programs serve all queues: else a run would wait for ever.
FOR_SOME_QUEUES = 0.4
PROGRAMS = (
    "orders,inventory,payments/coupons,delivery",
    "orders,delivery/inventory,coupons,payments",
    "orders,inventory,coupons/delivery,payments",
    "orders,coupons/inventory,delivery/payments,orders",
)
#: The share of all schedules in which a group joins.
WITH_GROUP = 0.2
#: The share of all schedules in which the index of due times is crowded, so that claims look from a floor on.
CROWDED = 0.15
#: The share of the runs that somebody pauses, or something of them.
PAUSED = 0.12
#: The share of the runs of ``Small`` that are of a saga that skips steps.
CHOOSY = 0.3


@dataclass(frozen=True, slots=True)
class Traits:
    """What the checks and the draw must know of a saga, read from its definition."""

    saga: type[Saga[Any]]

    @property
    def operations(self) -> list[str]:
        """All that it may do, as ``step.operation``."""
        return [f"{s.name}.{a.operation}" for s in self.saga.definition.all_steps for a in s.actions.values()]

    @property
    def fallible(self) -> list[str]:
        """Those that break on demand."""
        return [
            f"{s.name}.{a.operation}"
            for s in self.saga.definition.all_steps
            for a in s.actions.values()
            if not isinstance(s, SubSaga)
        ]

    @property
    def undoable(self) -> list[str]:
        """The steps that may say no: those before the pivot."""
        steps = self.saga.definition.steps[: self.saga.definition.before_pivot]
        return [s.name for s in steps if not isinstance(s, SubSaga)]

    @property
    def confirmations(self) -> list[str]:
        """What it waits for."""
        return [c.name for c in self.saga.definition.confirmations]

    @property
    def children(self) -> dict[str, type[Saga[Any]]]:
        """Its steps that are sagas."""
        return {s.name: s.saga for s in self.saga.definition.steps if isinstance(s, SubSaga)}

    @property
    def takes(self) -> bool:
        """Whether one of its steps, or of its children's, takes something out of a pool."""
        own = any(
            Phase.CONFIRM in s.actions and s.actions[Phase.FORWARD].operation == "try"
            for s in self.saga.definition.steps
        )
        return own or any(Traits(child).takes for child in self.children.values())


def draw(seed: int, among: Sequence[str] = ()) -> Schedule:
    """What is to happen for this seed. Its faults are drawn on the way.

    ``among`` names the sagas that are played; all, by default.
    """
    random = Random(f"{seed}|cast")
    settings = {
        "carrier": random.choice(("orchestration", "orchestration", "choreography")),
        "here": random.choice(("", "", "orders,inventory,coupons,delivery", "orders,coupons")),
        "stock": str(random.choice((100, 100, 100, 3, 1))),
    }
    # Drawn apart, as what is rare below.
    settings |= {"lifecycle": COMPRESSED} if Random(f"{seed}|lifecycle").random() < 0.4 else {}
    items: list[Item] = []
    for name in string.ascii_lowercase[: random.choices((1, 2, 3, 5), (64, 22, 10, 4))[0]]:
        items += _run(random, name, [SAGAS[one] for one in among] or list(WEIGHTS))
    items += _weather(random)
    # Drawn apart: what was drawn for a seed before there were these is still drawn for it.
    if Random(f"{seed}|work").random() < WITHOUT_BROKER:
        settings["work"] = "yes"
        if (apart := Random(f"{seed}|queues")).random() < FOR_SOME_QUEUES:
            settings["programs"] = apart.choice(PROGRAMS)
    if Random(f"{seed}|floor").random() < CROWDED:
        settings["floor"] = "yes"
    rare = Random(f"{seed}|rare")
    items = [_poisoned(rare, item) for item in items]
    apart = Random(f"{seed}|skip")
    items = [_choosy(apart, item) for item in items]
    # Somebody says that what has come will not come.
    denied = [item for item in items if item.verb == "confirm" and rare.random() < 0.05]
    items += [Item("refuse", item.subject, _moment(rare), item.args) for item in denied]
    if rare.random() < 0.03:
        queue, lasting = rare.choice(("orders", "inventory", "coupons", "delivery")), rare.choice((5, 100, 2000))
        items.append(Item("leak", queue, _moment(rare), (("for", str(lasting)),)))
    if any(item.get("saga") == "Changing" for item in items) and random.random() < 0.8:
        rolling = random.choice((0, 0.02, 5, 40))
        deploy = Item("deploy", "Changing", _moment(random), (("for", str(rolling)),))
        if rare.random() < 0.3:
            deploy = deploy.having(back=rare.choice((0.01, 1, 30)), gone=rare.choice((None, None, 1)))
        items.append(deploy)
    if not among and (apart := Random(f"{seed}|group")).random() < WITH_GROUP:
        items += _group(apart)
    apart = Random(f"{seed}|pause")
    items += [pause for item in items if item.verb == "start" for pause in _paused(apart, item)]
    return Schedule(seed, settings, tuple(items), drawn=random.choice((0.0, 0.1, 0.2, 0.4, 0.7)) or 1e-9)


def _run(random: Random, name: str, among: Sequence[type[Saga[Any]]]) -> list[Item]:
    saga = random.choices(among, [WEIGHTS[saga] for saga in among] if len(among) > 1 else None)[0]
    begins = random.choice((0.0, 0.0, 0.001, random.uniform(0, 3)))
    if saga is PlaceOrder:
        args = {"cups": str(random.choice((1, 1, 2))), "coupon": random.choice(("", "", "yours", "yours", "shared"))}
    else:
        args = _experiment(random, Traits(saga))
    told = tuple((key, value) for key, value in args.items() if value)
    items = [Item("start", name, round(begins, 3), (("saga", saga.__name__), *told))]
    for confirmation in Traits(saga).confirmations:
        if random.random() < 0.8:
            items += _repeated(random, "confirm", name, (("what", confirmation),))
        elif random.random() < 0.3:
            items += _repeated(random, "refuse", name, (("what", confirmation),))
    if random.random() < 0.2:
        items += _repeated(random, "cancel", name)
    if random.random() < 0.15:
        items += _repeated(random, random.choice(("resume", "resume", "resolve")), name)
    return items


def _group(random: Random) -> list[Item]:
    """Some who join a group, also while it is decided; and who decides about it, perhaps twice, perhaps otherwise."""
    saga = random.choice(GROUPS)
    items: list[Item] = []
    for name in "xyz"[: random.choice((1, 2, 3))]:
        args = {key: value for key, value in _experiment(random, Traits(saga)).items() if value}
        begins = random.choice((0.0, 0.001, random.uniform(0, 3), _moment(random)))
        items.append(Item("start", name, round(begins, 3), (("saga", saga.__name__), ("group", "g"), *args.items())))
        if saga is lab.PaidGroup and random.random() < 0.8:
            items += _repeated(random, "confirm", name, (("what", "payment"),))
        if random.random() < 0.3:
            verb, what = random.choice((("cancel", ()), ("cancel", ()), ("refuse", (("what", "formed"),))))
            items += _repeated(random, verb, name, what)
    moments = [_moment(random) for _ in range(random.choice((1, 1, 2)))]
    # Somebody decides in the end, whatever has become of those before.
    for at in (*moments, 200.0, 2000.0, 20_000.0):
        answer = random.choice(("yes", "yes", "no"))
        items.append(Item("decide", "g", at, (("saga", saga.__name__), ("answer", answer))))
    return items


def _poisoned(random: Random, item: Item) -> Item:
    """Now and then a run with a step that kills whoever performs it, or with a child that breaks for good."""
    if item.verb != "start" or item.get("saga") == "PlaceOrder":
        return item
    traits = Traits(SAGAS[item.get("saga")])
    theirs = [operation for child in traits.children.values() for operation in Traits(child).fallible]
    if random.random() < 0.04:
        return item.having(kills=random.choice([*traits.fallible, *theirs]))
    return item.having(faults=f"{random.choice(theirs)}:9") if theirs and random.random() < 0.3 else item


def _choosy(random: Random, item: Item) -> Item:
    """Now and then a run that skips some of its steps, or all of them."""
    if item.verb != "start" or item.get("saga") not in {"Small", "Choosy"} or random.random() >= CHOOSY:
        return item
    skip = [step.name for step in lab.Choosy.definition.steps if random.random() < random.choice((0.2, 0.5, 0.9))]
    return item.having(saga="Choosy", skip=",".join(skip) or None)


def _paused(random: Random, item: Item) -> list[Item]:
    """Now and then somebody pauses a run, its saga or one of its steps, or all new starts; and lets it go on later."""
    if random.random() >= PAUSED:
        return []
    scope = random.choice(("run", "run", "saga", "step", "starts"))
    step = random.choice(Traits(SAGAS[item.get("saga")]).saga.definition.declared_steps)
    args = (("scope", scope), *((("step", step),) if scope == "step" else ()))
    at = round((item.at or 0.0) + random.choice((0.0, 0.004, random.uniform(0, 3), random.uniform(0, 40))), 3)
    lasts = random.choice((0.003, 1.0, random.uniform(0, 60), 4000.0))
    # Who ends it may die.
    ends = [round(at + lasts, 3), round(at + lasts + 20, 3)]
    return [Item("pause", item.subject, at, args), *(Item("unpause", item.subject, end, args) for end in ends)]


def _repeated(random: Random, verb: str, name: str, args: tuple[tuple[str, str], ...] = ()) -> list[Item]:
    at = _moment(random)
    times = [at]
    if random.random() < 0.25:
        times.append(round(at + random.choice((0.0, 0.004, random.uniform(0, 40))), 3))
    return [Item(verb, name, time, args) for time in times]


def _moment(random: Random) -> float:
    """At once, while the steps go on, some time, around the deadline."""
    at = random.choice(
        (
            random.uniform(0, 0.03),
            random.uniform(0, 0.03),
            random.uniform(0, 2),
            random.uniform(0, 70),
            random.gauss(30.02, 0.03),
        )
    )
    return round(max(at, 0.0), 3)


def _experiment(random: Random, traits: Traits) -> dict[str, str]:
    args = {"reject": "", "faults": "", "keys": ""}
    if random.random() < 0.15 and traits.undoable:
        args["reject"] = random.choice(traits.undoable)
    if random.random() < 0.25 and traits.fallible:
        chosen = random.sample(traits.fallible, min(len(traits.fallible), random.choice((1, 1, 2))))
        args["faults"] = ",".join(f"{operation}:{random.choice((1, 2, 3, 9))}" for operation in chosen)
    if traits.saga.locks or any(child.locks for child in traits.children.values()):
        args["keys"] = random.choice(("k", "k", "k,l", "l,k", "l"))
    if traits.saga is lab.Closing:
        args["closes"] = str(random.choice((5, 20, 45)))
    return args


def _weather(random: Random) -> list[Item]:
    """What befalls all: servers that start again empty, or are away for a while."""
    items: list[Item] = []
    if random.random() < 0.1:
        items.append(Item("empty", random.choice(("broker", "broker", "redis")), _moment(random)))
    if random.random() < 0.07:
        gone = random.choice((0.5, 5, 40))
        items.append(Item("away", random.choice(("broker", "redis")), _moment(random), (("for", str(gone)),)))
    return items
