"""The tutorial's project is built as the tutorial says, and its saga runs on real servers, with Celery.

A project of its own, on a database, a RabbitMQ virtual host and a Redis database of its own: nothing of
drinkgroup but the engine is on its path, and other tests' workers do not meet its runs.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.docs.apart import apart, running
from tests.docs.papers import ROOT, Block, blocks
from tests.support import servers
from tests.support.awaiting import eventually

TUTORIAL = "docs/tutorial.md"
TEST = "docs/how-to/test-your-saga.md"
OPERATE = "docs/how-to/operate.md"
RUNBOOK = "docs/how-to/runbook.md"
HOW_TO = (
    "docs/how-to/define-a-saga.md",
    "docs/how-to/write-a-participant.md",
    "docs/reference/remote-participants.md",
    "docs/how-to/change-a-saga.md",
    "docs/how-to/personal-data.md",
)

#: pytest with what the project has: pytest-django. The others' plugins take two seconds to load.
PYTEST = [sys.executable, "-m", "pytest", "-q", "--ds=shop.settings", "-p", "no:cacheprovider"]
PYTEST += ["-p", "no:hypothesispytest", "-p", "no:schemathesis", "-p", "no:xdist"]
# The engine is not installed here, so that pytest finds no entry point of it.
PYTEST += ["-p", "django_sagas_pytest"]
#: What comes after the tutorial's settings: the servers of this session.
SETTINGS = """
from urllib.parse import urlsplit as _split
_database = _split("{DATABASE_URL}")
DATABASES["default"] |= {{"NAME": _database.path[1:], "USER": _database.username, "PASSWORD": _database.password,
    "HOST": _database.hostname, "PORT": _database.port}}
CELERY_BROKER_URL = "{RABBITMQ_URL}"
SAGAS["REDIS_URL"] = "{REDIS_URL}"
"""


@dataclass(frozen=True)
class Shop:
    """A Django project in a folder."""

    folder: Path

    def environment(self) -> dict[str, str]:
        """Nothing of this project's settings; the engine on the path."""
        own = {"DJANGO_SETTINGS_MODULE": "shop.settings", "PYTHONPATH": str(self.folder.parent / "engine")}
        return {**os.environ, **own}

    def run(self, *command: str) -> str:
        """Run a command in the project's folder; its output."""
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment(), capture_output=True, text=True, check=False, timeout=100
        )
        assert done.returncode == 0, f"{shlex.join(command)}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def python(self, text: str) -> str:
        """Run Python in the project, as ``manage.py shell`` would."""
        return self.run(sys.executable, "-c", f"import django; django.setup()\n{text}")


def files(paper: str) -> list[Block]:
    """Blocks whose first line names a file."""
    return [block for block in blocks(paper, "python") if block.title.endswith(".py")]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """The tutorial's project, set up by the tutorial's own commands, and the Celery worker of its last section."""
    base = tmp_path_factory.mktemp("tutorial")
    (base / "engine").mkdir()
    for part in ("sagas", "django_sagas_pytest.py"):
        (base / "engine" / part).symlink_to(ROOT / part)
    folder = base / "shop"
    folder.mkdir()
    shop = Shop(folder)
    with apart() as urls, ExitStack() as started:
        shop.run(sys.executable, "-m", "django", "startproject", "shop", ".")
        shop.run(sys.executable, "-m", "django", "startapp", "tastings")
        for block in files(TUTORIAL):
            with (folder / block.title).open("a" if block.title == "shop/settings.py" else "w") as file:
                file.write(block.text)
        with (folder / "shop/settings.py").open("a") as file:
            file.write(SETTINGS.format(**urls))
        for paper in (*HOW_TO, OPERATE, RUNBOOK, TEST):
            for block in files(paper):
                (folder / block.title).write_text(block.text)
        for line in commands():
            program, *arguments = shlex.split(line)
            if program == "export":
                assert arguments == ["DJANGO_SETTINGS_MODULE=shop.settings"]  # as Shop.environment has it
            elif program == "python":
                shop.run(sys.executable, *arguments)
            else:
                command = [sys.executable, "-m", program, *arguments, "-n", folder.parent.name, "-c", "1"]
                started.enter_context(running(command, folder, shop.environment()))
        yield shop


def commands() -> list[str]:
    """What the tutorial types to set up its project and, at its end, to start a Celery worker."""
    typed = [block.text for block in blocks(TUTORIAL, "sh")]
    (project,) = (text for text in typed if "makemigrations" in text)
    (with_celery,) = (text for text in typed if "celery -A sagas" in text)
    ours = ("pip ", "kill ", "worker=", "python manage.py sagas work")  # The tests of the tutorial itself type these.
    return [line for line in (project + with_celery).splitlines() if not line.startswith(ours)]


def start_and_confirm() -> str:
    """The tutorial's first booking."""
    (block,) = (block for block in files(TUTORIAL) if block.title == "book.py")
    return block.text


AWAIT = """
import time
from sagas import State, selectors

def await_state(run_id, state):
    end = time.monotonic() + 30
    while selectors.run_view(run_id).state is not state:
        assert time.monotonic() < end, selectors.run_view(run_id)
        time.sleep(0.02)
"""


def test_the_settings_of_the_tutorial_cause_no_warnings(shop: Shop) -> None:
    shop.run(sys.executable, "manage.py", "check", "--database", "default", "--fail-level", "WARNING")


def test_the_saga_of_the_tutorial_runs(shop: Shop) -> None:
    told = shop.python(
        f"""
from tastings.models import ChairHold, Tasting, Ticket
{start_and_confirm()}
{AWAIT}
await_state(run_id, State.SUCCEEDED)
oolong = Tasting.objects.get()
print(oolong.available, oolong.held, oolong.sold, Ticket.objects.get().guest)

unpaid = sagas.start(BookTasting, Booking(guest="Mei", tasting="Oolong"))
await_state(unpaid, State.AWAITING_CONFIRM)
oolong.refresh_from_db()
print(oolong.available, oolong.held, oolong.sold, Ticket.objects.count())
sagas.cancel(unpaid)
await_state(unpaid, State.FAILED)
oolong.refresh_from_db()
print(oolong.available, oolong.held, oolong.sold, Ticket.objects.count())

many = sagas.start(BookTasting, Booking(guest="Bo", tasting="Oolong", chairs=4))
await_state(many, State.FAILED)
print(selectors.run_view(many).reason["kind"])
"""
    )
    assert told.splitlines() == ["3 0 2 Lin", "2 1 2 2", "3 0 2 1", "rejected"]


@pytest.mark.parametrize("paper", HOW_TO)
def test_the_samples_of_the_how_tos_can_be_imported(shop: Shop, paper: str) -> None:
    modules = [block.title.removesuffix(".py").replace("/", ".") for block in files(paper)]
    assert modules
    shop.python("\n".join(f"import {module}" for module in modules))


def test_the_tests_of_the_saga_pass_and_can_fail(shop: Shop) -> None:
    command = [*PYTEST, "tastings/test_sagas.py"]
    assert "8 passed" in shop.run(*command)
    # Given a saga with a mistake: the ticket is not voided
    sagas = shop.folder / "tastings/sagas.py"
    right = sagas.read_text()
    try:
        sagas.write_text(right.replace("compensate=void_ticket, ", ""))
        done = subprocess.run(
            command, cwd=shop.folder, env=shop.environment(), capture_output=True, text=True, check=False, timeout=100
        )
    finally:
        sagas.write_text(right)
    assert done.returncode == 1
    assert "expected write_ticket, hold_chairs to be undone, and not hold_chairs" in done.stdout


#: A test of the project's own, on the plugin's clock.
ON_THE_CLOCK = """
from datetime import timedelta
from django.db import connection

def database_time():
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        return cursor.fetchone()[0]

def test_the_clock_stands_still_until_it_is_advanced(saga_clock):
    before = database_time()
    assert database_time() == before
    saga_clock.advance(timedelta(hours=1))
    assert database_time() == before + timedelta(hours=1)
"""


def test_the_plugin_has_a_clock(shop: Shop) -> None:
    (shop.folder / "tastings/test_clock.py").write_text(ON_THE_CLOCK)
    assert "1 passed" in shop.run(*PYTEST, "tastings/test_clock.py")


def test_the_matrix_of_the_saga_passes_and_names_the_cause_of_what_fails(shop: Shop) -> None:
    """Of one step under one carrier, without those that are killed: the others are as those of our own sagas."""
    wanted = "write_ticket and orchestration and not dies or usual"
    command = [*PYTEST, "-k", wanted, "tastings/test_matrix.py"]
    assert " passed" in shop.run(*command)
    # Given a participant with a mistake: the ticket is voided by the id that was returned
    sagas = shop.folder / "tastings/sagas.py"
    right = sagas.read_text()
    by_id = 'filter(pk=call.results["write_ticket"]["ticket"])'
    try:
        sagas.write_text(right.replace("filter(run_id=call.run_id)", by_id))
        done = subprocess.run(
            command, cwd=shop.folder, env=shop.environment(), capture_output=True, text=True, check=False, timeout=100
        )
    finally:
        sagas.write_text(right)
    assert done.returncode == 1
    (block,) = (block for block in blocks(TEST, "text") if block.text.startswith("BookTasting has 1 of the usual"))
    for line in block.text.strip().splitlines():
        assert line in done.stdout


def test_the_gift_saga_and_the_participants_work(shop: Shop) -> None:
    """Not through the worker, which knows no more than the tutorial's saga: each operation as the engine calls it."""
    told = shop.python(
        """
from uuid import UUID
from django.db import transaction
from sagas import Call, Operation, Rejected
from sagas.engine.invocation import collect
from tastings.gifts import Gift, GiveTasting
from tastings.letters import void_tickets, write_tickets
from tastings.models import ChairHold, Tasting, Ticket
from tastings.reservations import reservations
from tastings.stamps import NoTicket, stamp

print([step.name for step in GiveTasting.definition.steps], GiveTasting.definition.name)
try:
    GiveTasting.definition.dump({"giver": "a", "guest": "b", "tasting": "c", "chairs": 0})
except Exception as error:
    print(type(error).__name__, error.errors[0]["loc"])

def calls(*guests, start=1):
    return [Call(UUID(int=n), "s", Operation.FORWARD, 1, Gift("x", guest, "t"))
            for n, guest in enumerate(guests, start=start)]

def kinds(answers):
    return [getattr(answer, "code", type(answer).__name__) for answer in answers]

with transaction.atomic():
    Ticket.objects.all().delete()
    print(kinds(collect(write_tickets, calls("a", "b", "a"), (Rejected,))), Ticket.objects.count())
    print(kinds(collect(stamp, calls("a", "b", "a"), (Rejected,))), sorted(Ticket.objects.values_list("guest")))
    print(kinds(collect(void_tickets, calls("a", "b", "a"), (Rejected,))), Ticket.objects.count())
    print(kinds(collect(reservations.try_, calls("a"), (Rejected,))), Ticket.objects.get().guest)
    print(kinds(collect(reservations.confirm, calls("a"), (Rejected,))), Ticket.objects.get().guest)
    print(kinds(collect(reservations.try_, calls("a", start=9), (Rejected,))))
    print(kinds(collect(reservations.cancel, calls("a"), (Rejected,))), Ticket.objects.count())
    transaction.set_rollback(True)
"""
    )
    assert told.splitlines() == [
        "['hold_chairs', 'write_ticket'] tastings.GiveTasting",
        "InvalidRequest ['chairs']",
        "['Done', 'Done', 'GuestHasTicket'] 2",
        "['Done', 'Done', 'NoTicket'] [('A',), ('B',)]",
        "['Done', 'Done', 'Done'] 0",
        "['Done'] (a)",
        "['Done'] a",
        "['GuestHasTicket']",
        "['Done'] 0",
    ]


def test_the_operators_snippets_run(shop: Shop) -> None:
    snippets = [
        block
        for paper in (OPERATE, RUNBOOK)
        for block in blocks(paper, "python")
        if block.title == "in manage.py shell"
    ]
    assert len(snippets) == 4
    for snippet in snippets:
        shop.python(snippet.text)
    assert "shown" in shop.run(sys.executable, "manage.py", "sagas", "dead")
    assert "dispatched" in shop.run(sys.executable, "manage.py", "sagas", "dispatch", "--once")


def test_the_engine_and_the_project_can_share_an_app(shop: Shop) -> None:
    told = shop.python(
        "from shop.shared import app\n"
        "app.loader.import_default_modules()\n"
        "print(app.conf.task_acks_late, app.conf.worker_consumer, *sorted(app.amqp.queues.consume_from))\n"
        "print(*sorted(task for task in app.tasks if not task.startswith('celery.')))"
    )
    assert told.splitlines() == [
        "False sagas.worker:Consumer celery sagas.cancel sagas.dispatch sagas.escalation tastings tickets",
        "sagas.cancel sagas.dispatch sagas.event sagas.notify sagas.step",
    ]


def test_the_worker_creates_only_its_own_queues(shop: Shop) -> None:
    name = shop.python("from django.conf import settings; print(settings.CELERY_BROKER_URL.rpartition('/')[2])").strip()

    def queues() -> set[str]:
        listed = servers.rabbitmqctl("list_queues", "-p", name, "--silent", "name").split()
        return {queue for queue in listed if not queue.endswith(".pidbox") and not queue.startswith("celeryev")}

    expected = shop.python("from sagas.messaging import topology\nprint(*(q.name for q in topology.all_queues()))")
    eventually(lambda: queues() == set(expected.split()), what="the queues of sagas.messaging.topology, and no others")
