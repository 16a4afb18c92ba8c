"""``python -m bench --trips``: the engine's modules that an order passes through when it is confirmed or cancelled.

Orders are placed on servers of the benchmark's own, and everything is done in this process: the call of the public
face, the dispatch task that claims the run and publishes its cohort, and the cohort's tasks, which are taken from
RabbitMQ one after the other until nothing is left. ``Walk`` says what is counted.
"""

from __future__ import annotations

from collections.abc import Callable
from io import StringIO
from typing import Any
from uuid import UUID

from celery.app.trace import build_tracer
from django.conf import settings
from django.core.management import call_command
from rich.console import Console
from rich.table import Table

import sagas
from bench.walk import Walk
from bench.workload import Shop
from sagas import selectors
from sagas.celery import app as _app

#: Celery's types know no module that is set up so late.
app: Any = _app
#: How often each trip is made; the shortest walk counts, for now and then something is done beside it.
TIMES = 3

#: What goes out for an order is taken from these queues.
_QUEUES: list[str] = settings.SAGAS["QUEUES"]

#: Walks by the name of a trip's part.
Parts = dict[str, Walk]


def run(console: Console, *, walk: bool) -> None:
    """Make all trips on empty servers whose URLs are in the environment, and print what they pass through.

    Args:
        console: where to print.
        walk: print the modules of each walk, too, in their order.
    """
    call_command("migrate", verbosity=0)
    call_command("sagas", "topology", stdout=StringIO())
    app.loader.import_default_modules()
    # Otherwise the dispatcher would perform a first step itself, as it does where it consumes the step's queue.
    app.select_queues(["sagas.dispatch"])
    shop = Shop()
    table = Table("trip", "part", "modules", "stays", "returns", "crossings", title="What an order passes through")
    walks: list[tuple[str, Walk]] = []
    for trip in (confirmation, cancel, publication):
        for part, shortest in _shortest(trip, shop).items():
            numbers = (shortest.modules, len(shortest.stays), shortest.returns, shortest.crossings)
            table.add_row(trip.__name__, part, *map(str, numbers))
            walks.append((f"{trip.__name__}, {part}", shortest))
    for title, shortest in walks if walk else ():
        console.print(f"{title}:", *shortest.stays, soft_wrap=True, highlight=False)
    console.print(table)


def confirmation(shop: Shop) -> Parts:
    """Confirm an order whose steps are done, until it has succeeded."""
    run_id = _ready(shop)
    parts = _decided(lambda: sagas.confirm(run_id, "payment", {"payment_id": str(run_id)}))
    _check(run_id, sagas.State.SUCCEEDED)
    return parts


def cancel(shop: Shop) -> Parts:
    """Cancel an order whose steps are done, until all of them are undone."""
    run_id = _ready(shop)
    parts = _decided(lambda: sagas.cancel(run_id, reason="changed my mind", by="bench"))
    _check(run_id, sagas.State.FAILED)
    return parts


def publication(shop: Shop) -> Parts:
    """Claim a new order, and publish its chain and its deadline."""
    parts = {}
    for name, within in (("claim and publish", ""), ("publish() in it", "publish")):
        _look_around()
        shop.place(1)
        parts[name] = _watched(_dispatch, within)
        _deliver_all()
    return parts


def _shortest(trip: Callable[[Shop], Parts], shop: Shop) -> Parts:
    """Make a trip several times, the first time for what a process does once; the shortest walk of each part."""
    trip(shop)
    made = [trip(shop) for _ in range(TIMES)]
    return {part: min((one[part] for one in made), key=lambda walk: len(walk.stays)) for part in made[0]}


def _ready(shop: Shop) -> UUID:
    """An order that waits for its payment."""
    (run_id,) = shop.place(1).ids
    _dispatch()
    _deliver_all()
    _check(run_id, sagas.State.AWAITING_CONFIRM)
    _look_around()
    return run_id


def _decided(call: Callable[[], object]) -> Parts:
    parts = {"call": _watched(call), "claim and publish": _watched(_dispatch), "cohort": _watched(_deliver_all)}
    return {**parts, "together": Walk.joined(parts.values())}


def _watched(work: Callable[[], object], within: str = "") -> Walk:
    walk = Walk(within)
    with walk.watching():
        work()
    return walk


def _dispatch() -> None:
    _perform("sagas.dispatch", [], {}, {})


def _look_around() -> None:
    """Dispatch with nothing due: the next dispatch will not look at what each looks at now and then."""
    _dispatch()


def _deliver_all() -> None:
    """Perform what waits on the queues of the steps, until nothing does."""
    with app.connection_for_read() as connection, connection.channel() as channel:
        while messages := [found for queue in _QUEUES if (found := channel.basic_get(queue, no_ack=True))]:
            for message in messages:
                args, kwargs, embedded = channel.message_to_python(message).payload
                _perform(message.headers["task"], args, kwargs, {**message.headers, **embedded})


def _perform(name: str, args: list[Any], kwargs: dict[str, Any], request: dict[str, Any]) -> None:
    """Do a task as a worker does it; Celery publishes the next link of its chain."""
    trace = build_tracer(name, app.tasks[name], app=app)
    done = trace(request.get("id", name), args, kwargs, {"id": name, "hostname": "bench", **request})
    if done.info is not None:
        msg = f"{name} failed: {done.retval!r}"
        raise RuntimeError(msg)


def _check(run_id: UUID, state: sagas.State) -> None:
    found = selectors.run_view(run_id).state
    if found is not state:
        msg = f"an order is {found} and not {state}: its trip is none that counts"
        raise RuntimeError(msg)
