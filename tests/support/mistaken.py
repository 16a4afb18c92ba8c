"""Sagas with one of the usual mistakes each, and one without. The engine knows them only while a test asks it to."""

from __future__ import annotations

import logging
import logging.handlers
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any

from django.core.mail import send_mail
from django.db import connection, connections, transaction
from django.utils import timezone

from sagas import Call, Confirmation, Done, Outcome, Rejected, Retry, Saga, Step, many, registry
from sagas.participant import Participant
from tests.lab.models import Jar, JarHold, Mark
from tests.lab.sagas import Experiment
from tests.loyalty.models import Stamp

QUICK = Retry(attempts=2, delay=timedelta(milliseconds=20), jitter=0)
#: Where nobody listens, and what is sent is not answered.
NOWHERE = ("127.0.0.1", 9)


@contextmanager
def saga(
    do: Participant, compensate: Participant | None = None, confirm: Participant | None = None
) -> Iterator[type[Saga[Any]]]:
    """A saga of one step and a confirmation, known inside."""

    class Mistaken(Saga[Experiment]):
        """One step."""

        name = "mistaken.Mistaken"

        approval = Confirmation(within=timedelta(seconds=30))

        hold = Step(do, confirm=confirm, compensate=compensate or give_back, queue="orders", retry=QUICK, finish=QUICK)

    definition = Mistaken.definition
    try:
        yield Mistaken
    finally:
        registry._definitions.pop((definition.name, definition.version))


# -- Without a mistake ----------------------------------------------------------------------------------------


def hold(call: Call[Experiment]) -> dict[str, Any]:
    """Keyed: a second call finds the first."""
    held, _ = JarHold.objects.get_or_create(
        run_id=call.run_id, step=call.step, pool_key=call.request.jar, defaults={"quantity": 1}
    )
    return {"id": held.pk}


def give_back(call: Call[Experiment]) -> None:
    """By key, and only what stands."""
    JarHold.objects.filter(run_id=call.run_id, step=call.step, state="HELD").update(state="CANCELLED")


@many
def hold_all(calls: Sequence[Call[Experiment]]) -> list[Outcome]:
    """Set-based: the same."""
    JarHold.objects.bulk_create(
        [JarHold(run_id=c.run_id, step=c.step, pool_key=c.request.jar, quantity=1) for c in calls],
        ignore_conflicts=True,
    )
    return [Done({"jar": call.request.jar}) for call in calls]


def hold_and_log(call: Call[Experiment]) -> None:
    """Tell a log server, which is no effect."""
    handler = logging.handlers.SysLogHandler(address=NOWHERE)
    try:
        handler.emit(logging.makeLogRecord({"msg": "held"}))
    finally:
        handler.close()
    hold(call)


# -- An effect outside the transaction ------------------------------------------------------------------------


def mail(call: Call[Experiment]) -> None:
    """Mail goes out, whatever becomes of the run."""
    send_mail("Held", call.request.jar, "shop@example.org", ["guest@example.org"])
    hold(call)


def speak(call: Call[Experiment]) -> None:
    """Another system is told."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as found:
        found.sendto(call.run_id.bytes, NOWHERE)
    hold(call)


def write_elsewhere(call: Call[Experiment]) -> None:
    """Another database has it even if this one does not."""
    Stamp.objects.using("loyalty").get_or_create(run_id=call.run_id, step=call.step, operation=call.operation)
    hold(call)


def connect(call: Call[Experiment]) -> None:
    """A connection of its own, which commits when it likes."""
    own = connections["default"].copy()
    try:
        with own.cursor() as cursor:
            cursor.execute("SELECT 1")
    finally:
        own.close()
    hold(call)


# -- One that commits by itself -------------------------------------------------------------------------------


def commit(call: Call[Experiment]) -> None:
    """Django refuses this."""
    hold(call)
    transaction.commit()


def be_durable(call: Call[Experiment]) -> None:
    """And this."""
    with transaction.atomic(durable=True):
        hold(call)


def commit_in_sql(call: Call[Experiment]) -> None:
    """But not this."""
    hold(call)
    with connection.cursor() as cursor:
        cursor.execute("COMMIT; BEGIN")


def commit_behind_djangos_back(call: Call[Experiment]) -> None:
    """Nor this; and it does not want to know."""
    hold(call)
    with suppress(Exception):
        connection.connection.commit()


# -- One that reads the clock ---------------------------------------------------------------------------------


def read_the_clock(call: Call[Experiment]) -> None:
    """Decide by this process's time."""
    if datetime.now(UTC) > call.request.closes_at:
        raise Rejected("too late")
    hold(call)


def read_djangos_clock(call: Call[Experiment]) -> None:
    """The same, by another name."""
    if timezone.now() > call.request.closes_at:
        raise Rejected("too late")
    hold(call)


# -- A forward that is not keyed ------------------------------------------------------------------------------


def hold_again(call: Call[Experiment]) -> None:
    """A second call takes a second piece."""
    hold(call)
    jar = Jar.objects.get(pk=call.request.jar)
    Jar.objects.filter(pk=jar.pk).update(available=jar.available - 1, held=jar.held + 1)


# -- Undos ----------------------------------------------------------------------------------------------------


def give_back_by_id(call: Call[Experiment]) -> None:
    """The id was in an answer that may have been lost."""
    JarHold.objects.filter(pk=call.results[call.step]["id"], state="HELD").update(state="CANCELLED")


def give_back_by_id_if_any(call: Call[Experiment]) -> None:
    """The same, and it does nothing then."""
    held = call.results.get(call.step, {"id": 0})
    JarHold.objects.filter(pk=held["id"], state="HELD").update(state="CANCELLED")


def give_back_again(call: Call[Experiment]) -> None:
    """A second call gives a second piece."""
    give_back(call)
    jar = Jar.objects.get(pk=call.request.jar)
    Jar.objects.filter(pk=jar.pk).update(available=jar.available + 1)


def give_back_once(call: Call[Experiment]) -> None:
    """A second call breaks."""
    held = JarHold.objects.get(run_id=call.run_id, step=call.step, state="HELD")
    held.state = "CANCELLED"
    held.save()


# -- A many that disagrees ------------------------------------------------------------------------------------


@many
def hold_in_disorder(calls: Sequence[Call[Experiment]]) -> list[Outcome]:
    """Its answers are not in the order of the calls."""
    return list(hold_all.many(calls))[::-1]


@many
def hold_the_first(calls: Sequence[Call[Experiment]]) -> list[Outcome]:
    """The others are forgotten."""
    hold_all.many(calls[:1])
    return [Done({"jar": call.request.jar}) for call in calls]


class InTwoForms:
    """Its one-call form does something else."""

    def many(self, calls: Sequence[Call[Experiment]]) -> list[Outcome]:
        """Hold."""
        return list(hold_all.many(calls))

    def __call__(self, call: Call[Experiment]) -> dict[str, str]:
        """Hold, and leave a mark."""
        hold(call)
        Mark.objects.create(run_id=call.run_id, step=call.step, operation=call.operation)
        return {"jar": call.request.jar}
