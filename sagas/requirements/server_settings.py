"""Settings of PostgreSQL on which the promises rest, and that a server, a role or a pooler may have otherwise.

The isolation level is set: a statement must see what was committed while the one before it waited for a lock, so each
new session begins its transactions at READ COMMITTED, whatever the server's default is. The others are asked for: by
``manage.py check --database default``, by ``manage.py sagas doctor``, and by each worker at its start, which ends where
one of them breaks a promise.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, DatabaseError, connections
from django.utils.connection import ConnectionDoesNotExist

from sagas.db import said
from sagas.definition import registry
from sagas.requirements import software

logger = logging.getLogger(__name__)

#: The first is a synonym of the second in PostgreSQL.
_READ_COMMITTED = frozenset({"read uncommitted", "read committed"})
_SETTING = "default_transaction_isolation"
#: Milliseconds. Under it a session may be ended in the middle of a participant that computes for a moment.
_IDLE_AT_LEAST = 5_000


@dataclass(frozen=True, slots=True)
class Deviation:
    """A setting that is not as the promises need it.

    Attributes:
        check: the number of the system check, with "E" where no worker may start so, "W" where it had better not.
        what: one sentence.
        remedy: what to do.
        passing: whether it may be over in a moment, so that a worker starts all the same.
    """

    check: str
    what: str
    remedy: str
    passing: bool = False

    @property
    def is_error(self) -> bool:
        """Whether a promise is broken by it."""
        return self.check.startswith("E")


def databases() -> list[str]:
    """Aliases of the databases of which something is promised: the engine's, and those in which steps are."""
    others = {alias for definition in registry.all_definitions() for alias in definition.databases}
    return [DEFAULT_DB_ALIAS, *sorted(others - {DEFAULT_DB_ALIAS})]


# -- Set on each new session ------------------------------------------------------------------------------------------

_told: set[str] = set()


def read_committed(*, connection: Any, **_: object) -> None:
    """Have a new session begin its transactions at READ COMMITTED: a receiver of Django's ``connection_created``.

    One statement a session, not one a transaction. Not where the project says otherwise by Django's own
    ``isolation_level``, which is sent with each BEGIN: the checks refuse that.
    """
    if connection.vendor != "postgresql" or connection.alias not in databases():
        return
    if "isolation_level" in connection.settings_dict["OPTIONS"]:
        return
    with connection.wrap_database_errors, connection.connection.cursor() as cursor:
        cursor.execute(f"SELECT current_setting('{_SETTING}'), set_config('{_SETTING}', 'read committed', false)")
        (was, _) = cursor.fetchone()
    if not connection.get_autocommit():
        connection.connection.commit()
    if was not in _READ_COMMITTED and connection.alias not in _told:
        _told.add(connection.alias)
        logger.warning("sagas: the database %r is set to %s; here it is READ COMMITTED", connection.alias, was)


# -- Asked for --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting of a session. ``server`` is what it would be, had this session not set it itself."""

    value: str
    server: str


@dataclass(frozen=True, slots=True)
class _Rule:
    """What is said of a setting whose value is not right. ``{value}`` in ``what`` is that value."""

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
        lambda setting: setting.server in _READ_COMMITTED,
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
    """What is wrong by Django's settings alone; no server is asked."""
    return [deviation for alias in databases() for deviation in _declared(alias)]


def _declared(alias: str) -> Iterator[Deviation]:
    database = settings.DATABASES.get(alias, {})
    if "postgresql" not in database.get("ENGINE", ""):
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
    """Whether an isolation level, as Django takes it, is another than READ COMMITTED."""
    # Not above: without any driver it cannot be imported.
    from django.db.backends.postgresql.psycopg_any import IsolationLevel  # noqa: PLC0415

    try:
        return IsolationLevel(level) not in {IsolationLevel.READ_COMMITTED, IsolationLevel.READ_UNCOMMITTED}
    except ValueError:
        return True  # Django refuses to connect


def deviations(alias: str) -> list[Deviation]:
    """What is not as it should be on the server of a database.

    Raises:
        DatabaseError: it does not answer.
    """
    names = {rule.name for rule in _RULES}
    with connections[alias].cursor() as cursor:
        # What it would be without us: a session begins with the value to which RESET goes back.
        cursor.execute("SELECT name, setting, reset_val FROM pg_settings WHERE name = ANY(%s)", [sorted(names)])
        found = {name: Setting(value or "", server or "") for name, value, server in cursor.fetchall()}
    return judge(alias, found)


def judge(alias: str, found: Mapping[str, Setting]) -> list[Deviation]:
    """What is not as it should be of the settings of a database; each ``what`` names it."""
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
        # What a server does not know yet, such as transaction_timeout, it does not do.
        if rule.name in found and not rule.is_right(found[rule.name])
    ]


def refusals() -> list[Deviation]:
    """Why no worker may start now: what breaks a promise, but for system checks that the project has silenced.

    A server that does not answer is no reason: a worker outlives that.
    """
    found = declared()
    for alias in databases():
        try:
            found += deviations(alias)
        except (DatabaseError, ConnectionDoesNotExist) as error:
            logger.warning("sagas: the settings of the database %r could not be asked for: %s", alias, said(error))
        finally:
            if alias in connections:
                # A child that is forked must not share it.
                connections[alias].close()
    silenced = set(settings.SILENCED_SYSTEM_CHECKS)
    return [d for d in found if d.is_error and not d.passing and f"sagas.{d.check}" not in silenced]
