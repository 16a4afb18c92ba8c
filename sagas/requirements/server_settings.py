"""Settings of PostgreSQL on which the promises depend, and which a server, a role or a pooler may change.

The engine needs READ COMMITTED: a statement must see what was committed while the statement before it waited for a
lock. It sets that in each new session whose server has another default, unless a pooler may hand the session to another
program. The other settings are checked by ``manage.py check --database default``, by
``manage.py sagas doctor``, and by each worker, which does not start if one of them breaks a promise.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, DatabaseError, connections
from django.utils.connection import ConnectionDoesNotExist

from sagas import runtime
from sagas.conf import config
from sagas.db import describe_error
from sagas.definition import registry
from sagas.postgresql import sessions
from sagas.requirements import software

logger = logging.getLogger(__name__)

#: In PostgreSQL both names mean READ COMMITTED.
_READ_COMMITTED = frozenset({"read uncommitted", "read committed"})
_SETTING = "default_transaction_isolation"
#: In milliseconds. With less, PostgreSQL may end a session while a participant computes.
_IDLE_AT_LEAST = 5_000


@dataclass(frozen=True, slots=True)
class Deviation:
    """A setting with a value that the promises do not allow.

    Attributes:
        check: number of the system check. With "E" no worker starts; with "W" a worker warns.
        what: the problem, in one sentence.
        remedy: what to do.
        passing: whether the problem may be temporary, so that a worker starts despite it.
    """

    check: str
    what: str
    remedy: str
    passing: bool = False

    @property
    def is_error(self) -> bool:
        """Whether it breaks a promise."""
        return self.check.startswith("E")


def databases() -> list[str]:
    """List the aliases of the engine's database and of the other databases that steps use."""
    others = {alias for definition in registry.all_definitions() for alias in definition.databases}
    return [DEFAULT_DB_ALIAS, *sorted(others - {DEFAULT_DB_ALIAS})]


# -- Set on each new session ------------------------------------------------------------------------------------------


def begin_session(*, connection: Any, **_: object) -> None:
    """Set a new session to READ COMMITTED if its server's default is another: a receiver of ``connection_created``.

    This takes one statement a session, not one a transaction. Nothing is set if the project uses Django's option
    ``isolation_level``, which is sent with each BEGIN; nor through a pooler: the checks report both.
    """
    if connection.vendor != "postgresql" or connection.alias not in databases():
        return
    with connection.wrap_database_errors, connection.connection.cursor() as cursor:
        cursor.execute(f"SELECT current_setting('{_SETTING}'), pg_backend_pid()")
        was, pid = cursor.fetchone()
        pooled = sessions.is_pooled(connection, pid)
        sets = (
            was not in _READ_COMMITTED and not pooled and "isolation_level" not in connection.settings_dict["OPTIONS"]
        )
        if sets:
            cursor.execute(f"SET {_SETTING} = 'read committed'")
    if not connection.get_autocommit():
        connection.connection.commit()
    if pooled:
        runtime.memory.prepares = False
    if sets and connection.alias not in runtime.memory.isolation_told:
        runtime.memory.isolation_told.add(connection.alias)
        logger.warning("sagas: the database %r is set to %s; here it is READ COMMITTED", connection.alias, was)


# -- Checked ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting of a session. ``server`` is the value that the setting has without the SET of this session."""

    value: str
    server: str


@dataclass(frozen=True, slots=True)
class _Rule:
    """A rule for a setting, and what is reported if it is broken; ``{value}`` in ``what`` is replaced by the value."""

    name: str
    is_right: Callable[[Setting], bool]
    deviation: Deviation


def _rule(
    name: str, is_right: Callable[[str], bool], check: str, what: str, remedy: str, *, passing: bool = False
) -> _Rule:
    return _Rule(name, lambda setting: is_right(setting.value), Deviation(check, what, remedy, passing))


def _is_set(value: str) -> bool:
    return value != "0"


_RULES: Sequence[_Rule] = (
    _rule(
        "server_version",
        lambda value: software.server("PostgreSQL", value) is None,
        "E026",
        "PostgreSQL {value} is too old: the engine needs 15 or later",
        "Upgrade PostgreSQL.",
    ),
    _rule(
        _SETTING,
        _READ_COMMITTED.__contains__,
        "E021",
        "transactions run at {value}: a run may be confirmed and undone at once",
        "Take isolation_level out of OPTIONS; where a pooler undoes what a session sets, ALTER DATABASE … SET "
        "default_transaction_isolation = 'read committed'.",
    ),
    _Rule(
        _SETTING,
        lambda setting: setting.server in _READ_COMMITTED or setting.value not in _READ_COMMITTED,  # E021
        Deviation(
            "W021",
            "the default is {server}; the sessions of this project run at READ COMMITTED all the same",
            "ALTER DATABASE … RESET default_transaction_isolation (or ALTER ROLE …), for whoever else relies on it "
            "is mistaken in this project's processes.",
        ),
    ),
    _rule(
        "synchronous_commit",
        lambda value: value != "off",
        "E022",
        "synchronous_commit is off: a crash of the server takes back what was committed and answered",
        "ALTER DATABASE … SET synchronous_commit = on, and ALTER ROLE … likewise.",
    ),
    _rule(
        "session_replication_role",
        lambda value: value == "origin",
        "E023",
        "session_replication_role is {value}: the triggers that guard runs and their log do not fire",
        "ALTER ROLE … RESET session_replication_role, and ALTER DATABASE … likewise.",
    ),
    _rule(
        "server_encoding",
        lambda value: value == "UTF8",
        "E024",
        "the encoding is {value}: runs fail at every character that it has not",
        "Make the database anew, with ENCODING 'UTF8'.",
    ),
    _rule(
        "transaction_read_only",
        lambda value: value == "off",
        "E025",
        "it takes no writes",
        "Connect to the primary (target_session_attrs=read-write in OPTIONS finds it among several hosts), and "
        "ALTER ROLE … RESET default_transaction_read_only.",
        passing=True,
    ),
    *(
        _rule(
            name,
            lambda value: value == "on",
            "W022",
            f"{name} is off: a crash of the server may leave what it cannot read",
            f"Set {name} = on in postgresql.conf.",
        )
        for name in ("fsync", "full_page_writes")
    ),
    *(
        _rule(
            name,
            _is_set,
            "W023",
            f"{name} is 0: {why}",
            f'Set it in OPTIONS, as "options": "-c {name}=…", or by ALTER ROLE … SET {name}.',
        )
        for name, why in (
            ("lock_timeout", "who waits for a lock waits for ever, and keeps the runs that it has locked itself"),
            ("statement_timeout", "a server that hangs keeps whoever asks it"),
            ("idle_in_transaction_session_timeout", "a worker that stalls keeps its runs locked for ever"),
        )
    ),
    *(
        _rule(
            name,
            lambda value: value == "0" or int(value) >= _IDLE_AT_LEAST,
            "W024",
            f"{name} is {{value}} ms: sessions are ended in the middle of participants that compute for as long",
            f"Give it more than the slowest participant takes, and {_IDLE_AT_LEAST / 1000:g} s at least.",
        )
        for name in ("idle_in_transaction_session_timeout", "transaction_timeout")
    ),
)


def declared() -> list[Deviation]:
    """Find deviations in Django's settings. Connects to no server."""
    return [deviation for alias in databases() for deviation in _declared(alias)]


def _declared(alias: str) -> Iterator[Deviation]:
    database = settings.DATABASES.get(alias, {})
    if not software.is_postgresql(database):
        return  # E004, E007, E008
    if not database.get("AUTOCOMMIT", True):
        yield Deviation(
            "E020",
            f"DATABASES[{alias!r}]['AUTOCOMMIT'] is False: what the engine begins and ends would not be transactions.",
            "Leave AUTOCOMMIT out.",
        )
    options = database.get("OPTIONS", {})
    missing = [name for name in ("connect_timeout", "patience") if not options.get(name)]
    if missing:
        yield Deviation(
            "W020",
            f"DATABASES[{alias!r}] has no {' and no '.join(missing)}: while PostgreSQL hangs, all who ask it are held.",
            'Set OPTIONS = {"connect_timeout": 3, "patience": 31, …}: the second is known to "ENGINE": '
            '"sagas.postgresql", and is seconds more than statement_timeout (docs/how-to/operate.md).',
        )
    level = database.get("OPTIONS", {}).get("isolation_level")
    if level is not None and _is_other(level):
        yield Deviation(
            "E020",
            f"DATABASES[{alias!r}]['OPTIONS']['isolation_level'] is {level!r}: "
            "a run may be confirmed and undone at once.",
            "Leave isolation_level out: the engine needs READ COMMITTED. For work of your own at another level use "
            "SET TRANSACTION, or an alias of its own.",
        )


def _is_other(level: Any) -> bool:
    """Whether a value of Django's option ``isolation_level`` is not READ COMMITTED."""
    # Imported here, because the import fails if no driver is installed.
    from django.db.backends.postgresql.psycopg_any import IsolationLevel  # noqa: PLC0415

    try:
        return IsolationLevel(level) not in {IsolationLevel.READ_COMMITTED, IsolationLevel.READ_UNCOMMITTED}
    except ValueError:
        return True  # Django refuses to connect


def deviations(alias: str) -> list[Deviation]:
    """Find deviations on the server of a database.

    Raises:
        DatabaseError: the server does not answer.
    """
    names = {rule.name for rule in _RULES}
    with connections[alias].cursor() as cursor:
        # ``reset_val`` is the value with which the session began, before the engine's own SET.
        cursor.execute(
            "SELECT name, setting, reset_val, pg_backend_pid() FROM pg_settings WHERE name = ANY(%s)", [sorted(names)]
        )
        rows = cursor.fetchall()
    if not (rows and sessions.is_pooled(connections[alias], rows[0][3])):
        return judge(alias, {name: Setting(value or "", server or "") for name, value, server, _ in rows})
    # What was set in this session, by whomever, is not there in the next transaction.
    return [*judge(alias, {name: Setting(server or "", server or "") for name, _, server, _ in rows}), *_pooled(alias)]


def _pooled(alias: str) -> Iterator[Deviation]:
    """Yield what does not work through a pooler that gives each transaction another session."""
    database = settings.DATABASES[alias]
    options = database.get("OPTIONS", {})
    if options.get("assume_role"):
        yield Deviation(
            "E028",
            f"DATABASES[{alias!r}] has assume_role, and a pooler stands before the server: SET ROLE stays in a session "
            "that another program gets next.",
            "Leave assume_role out, and log in as that role.",
        )
    if options.get("prepares"):
        yield Deviation(
            "W025",
            f'DATABASES[{alias!r}] has "prepares", and a pooler stands before the server: nothing is prepared there.',
            'Leave "prepares" out.',
        )
    if not database.get("DISABLE_SERVER_SIDE_CURSORS"):
        yield Deviation(
            "W026",
            f"A pooler stands before the database {alias!r}, and DISABLE_SERVER_SIDE_CURSORS is not set: QuerySet."
            "iterator() fails there outside a transaction.",
            f"Set DATABASES[{alias!r}]['DISABLE_SERVER_SIDE_CURSORS'] = True, unless the pooler works in session mode.",
        )
    if config().broker is None and config().listen_database == alias:
        yield Deviation(
            "W027",
            f"A pooler stands before the database {alias!r}, and notifications do not come through it: manage.py sagas "
            "work finds what is due up to a second later.",
            "Add the server itself to DATABASES, and name it in SAGAS['LISTEN_DATABASE'].",
        )


def refused_by_pooler(alias: str, error: Exception) -> Deviation | None:
    """The deviation because of which a pooler has refused to connect; ``None`` if the error is another."""
    if "startup parameter" not in str(error):
        return None
    return Deviation(
        "E027",
        f'The pooler before the database {alias!r} takes no "options", in which DATABASES has the time-outs.',
        'Leave "options" (and "prepares") out, set DISABLE_SERVER_SIDE_CURSORS, and give the time-outs to the role: '
        "ALTER ROLE … SET lock_timeout = '10s', likewise statement_timeout and idle_in_transaction_session_timeout. Do "
        "not have PgBouncer ignore them (ignore_startup_parameters): they would be lost in silence.",
    )


def judge(alias: str, found: Mapping[str, Setting]) -> list[Deviation]:
    """Compare the settings of a database with the rules. Each ``what`` names the database."""
    return [
        Deviation(
            rule.deviation.check,
            f"In the database {alias!r} {rule.deviation.what}.".format(
                value=found[rule.name].value, server=found[rule.name].server
            ),
            rule.deviation.remedy,
            rule.deviation.passing,
        )
        for rule in _RULES
        # An older server lacks settings such as transaction_timeout, and therefore also their effect.
        if rule.name in found and not rule.is_right(found[rule.name])
    ]


def refusals(more: Iterable[Deviation] = ()) -> list[Deviation]:
    """Find the deviations because of which no worker may start, without those that the project has silenced.

    A server that does not answer does not keep a worker from starting.

    Args:
        more: others that were found.
    """
    found = [*declared(), *more]
    for alias in databases():
        try:
            found += deviations(alias)
        except (DatabaseError, ConnectionDoesNotExist) as error:
            if refused := refused_by_pooler(alias, error):
                found.append(refused)
                continue
            logger.warning(
                "sagas: the settings of the database %r could not be asked for: %s", alias, describe_error(error)
            )
        finally:
            if alias in connections:
                # A forked child must not share the connection.
                connections[alias].close()
    silenced = set(settings.SILENCED_SYSTEM_CHECKS)
    return [d for d in found if d.is_error and not d.passing and f"sagas.{d.check}" not in silenced]
