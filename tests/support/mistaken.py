"""Sagas with one of the usual mistakes each, and one without. The engine knows them only while a test asks it to."""

from __future__ import annotations

import logging
import logging.handlers
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from django.contrib.auth import get_user_model
from django.core.mail import EmailMessage, get_connection, send_mail, send_mass_mail
from django.db import connection, connections, transaction
from django.db.models import F
from django.utils import timezone

from sagas import Call, Confirmation, Done, Outcome, Rejected, Retry, Saga, Step, runtime, set_based
from sagas.definition.participants import Participant
from tests.lab.models import Jar, JarHold, Label, Mark
from tests.lab.sagas import Experiment
from tests.loyalty.models import Stamp
from tests.support.driver import cursor_of_another_class, psycopg, verbatim

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

        approval = Confirmation(within=timedelta(seconds=30), needs_compensation=False)

        hold = Step(
            do, confirm=confirm, compensate=compensate or give_back, queue="orders", retry=QUICK, finish_retry=QUICK
        )

    definition = Mistaken.definition
    try:
        yield Mistaken
    finally:
        runtime.declared.definitions.pop((definition.name, definition.version))


@contextmanager
def refunded(compensate: Participant) -> Iterator[type[Saga[Any]]]:
    """A saga whose confirmation is taken back by this participant, known inside."""

    class Refunded(Saga[Experiment]):
        """Paid, and two steps."""

        name = "mistaken.Refunded"

        payment = Confirmation(within=timedelta(seconds=30), compensate=compensate, queue="orders")

        hold = Step(hold, compensate=give_back, queue="orders", retry=QUICK, finish_retry=QUICK)
        pack = Step(hold_and_measure, queue="orders", retry=QUICK)

    definition = Refunded.definition
    try:
        yield Refunded
    finally:
        runtime.declared.definitions.pop((definition.name, definition.version))


@contextmanager
def in_two_steps(compensate: Participant) -> Iterator[type[Saga[Any]]]:
    """A saga whose second step is undone by this participant, known inside."""

    class InTwoSteps(Saga[Experiment]):
        """Two steps."""

        name = "mistaken.InTwoSteps"

        approval = Confirmation(within=timedelta(seconds=30), needs_compensation=False)

        first = Step(hold, compensate=give_back, queue="orders", retry=QUICK, finish_retry=QUICK)
        second = Step(mark_what_is_held, compensate=compensate, queue="orders", retry=QUICK, finish_retry=QUICK)

    definition = InTwoSteps.definition
    try:
        yield InTwoSteps
    finally:
        runtime.declared.definitions.pop((definition.name, definition.version))


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


@set_based
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


def hold_and_speak_of_commits(call: Call[Experiment]) -> None:
    """Name a COMMIT where it is none, and read with a cursor of the driver's."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT 'it; COMMIT', $$ x; COMMIT; $$, %s AS \"; END\" -- ; COMMIT", ["; COMMIT"])
        cursor.execute("/* a /* nested; */ COMMIT */ SELECT 1; SELECT E'it\\'s; COMMIT'")
    with cursor_of_another_class(connection.connection) as cursor:
        cursor.execute("SELECT 1 AS one")
    hold(call)


def hold_for_a_user(call: Call[Experiment]) -> None:
    """Django's own field has the time of this process for a default."""
    get_user_model().objects.get_or_create(username=str(call.run_id))
    hold(call)


def hold_and_measure(call: Call[Experiment]) -> None:
    """How long it takes is no time of the day, and a time that is given is not asked for."""
    began = time.perf_counter()
    hold(call)
    logging.getLogger(__name__).debug("%s %s", time.perf_counter() - began, time.localtime(0))


def give_back_quickly(call: Call[Experiment]) -> None:
    """By its own result where it is there, else by key."""
    found = call.results.get(call.step)
    held = JarHold.objects.filter(pk=found["id"]) if found else JarHold.objects.filter(run_id=call.run_id)
    held.update(state="CANCELLED")


def confirm(call: Call[Experiment]) -> None:
    """By key, and only what stands."""
    JarHold.objects.filter(run_id=call.run_id, step=call.step, state="HELD").update(state="CONFIRMED")


def refund(call: Call[Experiment]) -> None:
    """By what came with the confirmation, which is the documented way."""
    Mark.objects.get_or_create(run_id=call.run_id, step=call.step, operation=call.results["payment"]["charge"])


def mark_what_is_held(call: Call[Experiment]) -> None:
    """Keep what the first step has returned."""
    Mark.objects.get_or_create(run_id=call.run_id, step=str(call.results["first"]["id"]), operation="held")


def unmark_what_is_held(call: Call[Experiment]) -> None:
    """By what another step has returned."""
    Mark.objects.filter(step=str(call.results["first"]["id"])).delete()


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


def mail_many(call: Call[Experiment]) -> None:
    """Mail, by the dozen."""
    send_mass_mail([("Held", call.request.jar, "shop@example.org", ["guest@example.org"])])
    hold(call)


def mail_by_backend(call: Call[Experiment]) -> None:
    """Mail, by hand."""
    get_connection().send_messages([EmailMessage("Held", "", "shop@example.org", ["guest@example.org"])])
    hold(call)


def do_after_commit(call: Call[Experiment]) -> None:
    """Who dies after the commit does not do it."""
    hold(call)
    transaction.on_commit(lambda: None)


def write_elsewhere_in(query: Any) -> Callable[[Call[Experiment]], None]:
    """Another database has it, however it is said."""

    def written(call: Call[Experiment]) -> None:
        with connections["loyalty"].cursor() as cursor:
            cursor.execute(query)
        hold(call)

    return written


@contextmanager
def connected_before() -> Iterator[Participant]:
    """A connection of its own, which was there before."""
    own = psycopg.connect(**{**connection.get_connection_params(), "cursor_factory": None})

    def connected(call: Call[Experiment]) -> None:
        with own.cursor() as cursor:
            cursor.execute("SELECT 1")
        own.commit()
        hold(call)

    with closing(own):
        yield connected


@contextmanager
def with_a_thread() -> Iterator[tuple[Participant, ThreadPoolExecutor]]:
    """A thread that is started when the participant is called for the first time, and stays."""
    with ThreadPoolExecutor(1) as pool:

        def threaded(call: Call[Experiment]) -> None:
            pool.submit(lambda: None).result()
            hold(call)

        yield threaded, pool


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


def commit_in(query: Any, params: Any = None) -> Callable[[Call[Experiment]], None]:
    """However it is said."""

    def committed(call: Call[Experiment]) -> None:
        hold(call)
        with connection.cursor() as cursor:
            cursor.execute(query, params)

    return committed


COMMITS = [
    commit_in("/* done */ COMMIT; BEGIN"),
    commit_in("-- done\nCOMMIT"),
    commit_in("SELECT 1; COMMIT; BEGIN"),
    commit_in("SELECT 'it''s'; COMMIT"),
    commit_in("SELECT $a$ $a$; COMMIT"),
    commit_in(b"COMMIT"),
    commit_in(psycopg.sql.SQL("COMMIT")),
    commit_in(psycopg.sql.SQL("SELECT {}; COMMIT").format(psycopg.sql.Literal("x"))),
    *(commit_in("SELECT 1 %s", [text]) for text in verbatim("; COMMIT")),
]


def commit_by_the_drivers_cursor(call: Call[Experiment]) -> None:
    """Behind Django's back."""
    hold(call)
    with connection.connection.cursor() as cursor:
        cursor.execute("COMMIT")


def commit_by_a_cursor_of_its_own(call: Call[Experiment]) -> None:
    """And of another class."""
    hold(call)
    with cursor_of_another_class(connection.connection) as cursor:
        cursor.execute("SELECT 1; COMMIT")


def commit_by_block(call: Call[Experiment]) -> None:
    """The driver's own ``with`` does it."""
    with connection.connection:
        hold(call)


def commit_and_go_on(call: Call[Experiment]) -> None:
    """It does not want to know at all."""
    hold(call)
    with suppress(BaseException), connection.cursor() as cursor:
        cursor.execute("COMMIT")


def commit_at_the_second_attempt(call: Call[Experiment]) -> None:
    """Only where it is called again."""
    hold(call)
    if call.attempt > 1:
        commit_in("COMMIT")(call)


def close(call: Call[Experiment]) -> None:
    """What it has done is gone, and so is the engine's transaction."""
    hold(call)
    connection.close()


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


NOW = partial(datetime.now, UTC)


def read_a_partial_clock(call: Call[Experiment]) -> None:
    """The same, and nobody sees it called."""
    if call.request.closes_at < NOW():
        raise Rejected("too late")
    hold(call)


@dataclass
class Receipt:
    """Has the time from whoever makes it."""

    at: datetime = field(default_factory=timezone.now)


def read_the_clock_for_a_receipt(call: Call[Experiment]) -> None:
    """The same, in code that is nobody's."""
    if Receipt().at > call.request.closes_at:
        raise Rejected("too late")
    hold(call)


def read_the_wall(call: Call[Experiment]) -> None:
    """The time of the day."""
    if time.localtime().tm_year > call.request.closes_at.year:
        raise Rejected("too late")
    hold(call)


def read_the_clock_in(file: str, module: str) -> Participant:
    """A participant in a file that is somewhere else."""
    code = "def read(call):\n    datetime.now(UTC)\n    hold(call)\n"
    made: dict[str, Any] = {"__name__": module, "datetime": datetime, "UTC": UTC, "hold": hold}
    exec(compile(code, file, "exec"), made)  # noqa: S102 - where code is, is what is asked
    read: Participant = made["read"]
    return read


# -- A forward that is not keyed, or breaks -------------------------------------------------------------------


def hold_again(call: Call[Experiment]) -> None:
    """A second call takes a second piece."""
    hold(call)
    jar = Jar.objects.get(pk=call.request.jar)
    Jar.objects.filter(pk=jar.pk).update(available=jar.available - 1, held=jar.held + 1)


def hold_by_attempt(call: Call[Experiment]) -> None:
    """A second attempt is no second call for it."""
    Mark.objects.get_or_create(run_id=call.run_id, step=call.step, operation=f"try {call.attempt}")


@set_based
def hold_again_unless_refused(calls: Sequence[Call[Experiment]]) -> list[Outcome]:
    """Not keyed; and it says no to whoever asks for it."""
    taken = [call for call in calls if call.step not in call.request.reject]
    Mark.objects.bulk_create([Mark(run_id=call.run_id, step=call.step, operation="again") for call in taken])
    return [Done() if call in taken else Rejected("no") for call in calls]


def label_what_is_not_there(call: Call[Experiment]) -> None:
    """The COMMIT finds it out."""
    Label.objects.get_or_create(run_id=call.run_id, defaults={"jar_id": "there is no such jar"})


def pass_over_an_error(call: Call[Experiment]) -> None:
    """In the transaction that is to go on."""
    hold(call)
    with suppress(Exception), transaction.atomic(savepoint=False):
        Jar.objects.bulk_create([Jar(pk=call.request.jar)])


@set_based
def pass_over_an_error_of_all(calls: Sequence[Call[Experiment]]) -> list[Outcome]:
    """The same, for many."""
    for call in calls:
        pass_over_an_error(call)
    return [Done() for _ in calls]


# -- Confirms, and undos --------------------------------------------------------------------------------------


def confirm_again(call: Call[Experiment]) -> None:
    """A second call sells a second piece."""
    Jar.objects.filter(pk=call.request.jar).update(sold=F("sold") + 1)


def confirm_once(call: Call[Experiment]) -> None:
    """A second call breaks."""
    held = JarHold.objects.get(run_id=call.run_id, step=call.step, state="HELD")
    held.state = "CONFIRMED"
    held.save()


def never(call: Call[Experiment]) -> None:
    """It breaks whenever it is called."""
    msg = "never"
    raise ValueError(msg)


def give_back_what_must_be_there(call: Call[Experiment]) -> None:
    """Where nothing was held, there is nothing to write in."""
    held = JarHold.objects.filter(run_id=call.run_id, step=call.step).first()
    held.state = "CANCELLED"  # type: ignore[union-attr]  # that is the mistake
    held.save()  # type: ignore[union-attr]


def give_back_what_anybody_holds(call: Call[Experiment]) -> None:
    """Another run's, too."""
    JarHold.objects.filter(pool_key=call.request.jar, state="HELD").update(state="CANCELLED")


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


@set_based
def hold_in_disorder(calls: Sequence[Call[Experiment]]) -> list[Outcome]:
    """Its answers are not in the order of the calls."""
    return list(hold_all.many(calls))[::-1]


@set_based
def hold_in_the_order_of_jars(calls: Sequence[Call[Experiment]]) -> list[Outcome]:
    """Its answers are in the order of the table: which may be that of the calls."""
    hold_all.many(calls)
    held = JarHold.objects.filter(run_id__in=[call.run_id for call in calls]).order_by("pool_key")
    return [Done({"jar": hold.pool_key}) for hold in held]


@set_based
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
