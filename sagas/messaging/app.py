"""The engine's own Celery app, for ``celery -A sagas worker``; and ``configure``, for a project that shares its app.

Of the project's ``CELERY_…`` settings, the engine's app only takes those that say how to reach RabbitMQ. It never
becomes the current app in place of the project's: the project's tasks stay where the project sends them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import click
from celery import Celery
from celery import _state as _celery_state
from celery.app.defaults import SETTING_KEYS
from celery.app.utils import Settings
from celery.signals import celeryd_init, worker_process_init
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from sagas import runtime
from sagas.conf import Misconfigured, config, is_rabbitmq_url
from sagas.messaging import broker_connection, topology
from sagas.redaction import MASK, redact, redact_all
from sagas.requirements.lack import Lack
from sagas.requirements.software import lacking

#: Celery's record of the current app, which its types do not show.
_state: Any = _celery_state

#: The settings that a worker of the engine needs. Everything else is set for each task and each publish, so that a
#: project that shares its app has no more to set than this.
NEEDED: dict[str, Any] = {
    "accept_content": ["json"],
    "worker_consumer": "sagas.worker:Consumer",
    "broker_connection_retry_on_startup": True,
    "broker_connection_max_retries": None,
    "broker_transport_options": {"confirm_publish": True},
}

#: The settings of the engine's own app. docs/reference/settings.md says why each is needed.
OWN: dict[str, Any] = {
    **NEEDED,
    "imports": ("sagas.tasks", "sagas.worker"),
    "task_acks_late": True,
    "task_reject_on_worker_lost": True,
    "task_ignore_result": True,
    "task_serializer": "json",
    "task_default_queue": topology.DISPATCH,
    "task_default_exchange": "",
    "task_default_exchange_type": "direct",
    "task_default_routing_key": topology.DISPATCH,
    "task_default_queue_type": "quorum",
    "worker_detect_quorum_queues": True,
    "task_create_missing_queues": False,
    "worker_prefetch_multiplier": 1,
    "worker_cancel_long_running_tasks_on_connection_loss": True,
    "worker_send_task_events": False,
    # Anyone with access to the broker could ask a worker for its settings, and end it.
    "worker_enable_remote_control": False,
    "worker_hijack_root_logger": False,
    "broker_heartbeat": 10,
    # Celery's Django fixup reads this name. Without it a worker opens a new database connection for every task.
    "CELERY_DB_REUSE_MAX": 1_000_000,
}

#: The Celery settings of a project that say how to reach its broker.
_BROKER = (
    "broker_url",
    "broker_read_url",
    "broker_write_url",
    "broker_use_ssl",
    "broker_login_method",
    "broker_connection_timeout",
    "broker_failover_strategy",
    "broker_transport_options",
)


@dataclass(frozen=True, slots=True)
class Promised:
    """What a setting of the app must be, so that the engine keeps its promises."""

    must_be: str
    holds: Callable[[Any], bool]


_PROMISED = {
    "accept_content": Promised(
        "a list with 'json' in it", lambda value: not {"json", "application/json"}.isdisjoint(value or ())
    ),
    "worker_consumer": Promised("'sagas.worker:Consumer'", lambda value: value == NEEDED["worker_consumer"]),
    "broker_connection_retry_on_startup": Promised("True", lambda value: value is not False),
    "broker_connection_max_retries": Promised("None", lambda value: value is None),
    "broker_transport_options": Promised(
        "a dict with 'confirm_publish': True", lambda value: bool((value or {}).get("confirm_publish"))
    ),
    "task_always_eager": Promised("False", lambda value: not value),
    "task_protocol": Promised("2", lambda value: value == 2),
}
#: For the engine's own app. A shared app may acknowledge the project's tasks early, and create queues on demand.
_PROMISED_OF_OWN = {
    **_PROMISED,
    "task_acks_late": Promised("True", bool),
    "worker_detect_quorum_queues": Promised("True", bool),
    "task_reject_on_worker_lost": Promised("True", bool),
    "task_create_missing_queues": Promised("False", lambda value: not value),
    "task_queues": Promised("left alone: SAGAS['QUEUES'] says which", lambda value: not value),
    "broker_url": Promised("left alone: SAGAS['BROKER_URL'] says which", lambda value: not value),
}
_ANYTHING = Promised("", lambda _: True)


class EngineApp(Celery):
    """A Celery app that does not become the current app where the project has one.

    Celery's ``shared_task`` uses the *current* app, and Celery makes a worker's app the current one. So a participant
    that calls ``send_mail.delay()`` in a worker of the engine would publish to a queue of the engine.
    """

    amqp_cls = f"{broker_connection.AMQP.__module__}:{broker_connection.AMQP.__name__}"

    def set_current(self) -> None:
        """Make the project's app the current one; this app, if the project has none."""
        _state._set_current_app(_app_of_the_project() or self)

    def set_default(self) -> None:
        """Do the same for threads without a current app."""
        _state.set_default_app(_app_of_the_project() or self)

    def connection_for_read(self, url: Any = None, **options: Any) -> Any:
        """Connect to ``SAGAS["BROKER_URL"]``, if it is set; CELERY_BROKER_URL of the environment is the project's."""
        return super().connection_for_read(url or _url(), **options)

    def connection_for_write(self, url: Any = None, **options: Any) -> Any:
        """Connect as ``connection_for_read`` does."""
        return super().connection_for_write(url or _url(), **options)


def _url() -> Any:
    return config().broker_url


def _app_of_the_project() -> Celery | None:
    current: Any = _state._tls.current_app or _state.default_app
    # Without any app Celery makes a placeholder, which does not count.
    is_theirs = current is not None and not isinstance(current, EngineApp) and current.set_as_current
    return current if is_theirs else None


@worker_process_init.connect
def _keep_default_app(**_: Any) -> None:
    """Undo that Celery makes a child's app the default one without asking the app."""
    if _state.default_app is app:
        app.set_default()


def _own_settings() -> dict[str, Any]:
    """The settings of the engine's own app. If they are wrong, a person who starts a worker sees one line."""
    try:
        ours, extra = config(), dict(config().celery)
        theirs = {
            name: getattr(settings, f"CELERY_{name.upper()}")
            for name in _BROKER
            if ours.broker_url is None and hasattr(settings, f"CELERY_{name.upper()}")
        }
        queues = topology.celery_queues()
    except (Misconfigured, ImproperlyConfigured, ImportError) as error:
        if click.get_current_context(silent=True) is None:
            raise
        raise click.ClickException(f"{_first_line(error)} (DJANGO_SETTINGS_MODULE names the settings)") from error
    if ours.broker_url is not None:
        theirs["broker_url"] = ours.broker_url
    options = {
        **theirs.pop("broker_transport_options", {}),
        **NEEDED["broker_transport_options"],
        **extra.pop("broker_transport_options", {}),
    }
    return {**OWN, **theirs, **extra, "broker_transport_options": options, "task_queues": queues}


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]


def make_app() -> EngineApp:
    """Make an app of the engine. It reads its settings at their first use, when Django's settings are there."""
    # No result backend, whatever CELERY_RESULT_BACKEND of the environment says.
    made: Any = EngineApp("sagas", set_as_current=False, backend="disabled://")
    made.add_defaults(_own_settings)
    made.on_after_configure.connect(lambda source, **_: _hide(source), weak=False)
    made.steps["consumer"].add("sagas.worker:Topology")
    return made  # type: ignore[no-any-return]  # an EngineApp


#: ``celery -A sagas`` finds it by this name.
app = make_app()


def engine_app() -> Celery:
    """The app that the engine publishes with: the shared app, if there is one, else its own."""
    shared = runtime.declared.shared_apps
    return shared[-1] if shared else app


def does_engine_work(some: Celery) -> bool:
    """Whether an app is the engine's own or a shared one."""
    return some is app or some in runtime.declared.shared_apps


def configure(shared: Celery) -> None:
    """Let a project's app also do the engine's work, in place of the engine's own app.

    The project's settings stay as they are; only ``NEEDED`` is added where the project sets nothing. If a setting
    contradicts ``NEEDED``, ``manage.py check`` names it, and a worker does not start.
    """
    runtime.declared.shared_apps.append(shared)
    shared.steps["consumer"].add("sagas.worker:Topology")
    _add_queues(shared)
    # The engine publishes with this app, and must not wait without end.
    publishes: Any = shared.amqp
    publishes.Connection = broker_connection.BrokerConnection
    late: Any = shared
    if late.configured:
        _complete(shared.conf)
    else:
        late.on_after_configure.connect(lambda source, **_: _complete(source), weak=False)


def _add_queues(shared: Celery) -> None:
    """Have the engine's queues consumed beside the project's.

    They are added when Celery makes its list of queues. With ``task_queues`` the project's default queue would be
    missing.
    """
    amqp: Any = shared.amqp
    make = amqp.Queues

    def make_with_ours(*args: Any, **options: Any) -> Any:
        return _with_ours(make(*args, **options))

    amqp.Queues = make_with_ours
    if "queues" in amqp.__dict__:
        _with_ours(amqp.queues)


def _with_ours(queues: Any) -> Any:
    for queue in topology.celery_queues(typed=False):
        exchange = queue.exchange
        # Celery puts the project's default exchange in place of RabbitMQ's.
        queues.select_add(queue).exchange = exchange
    return queues


def _complete(conf: Any) -> None:
    """Set what the project has not set. ``add_defaults`` would override the project's settings."""
    # Before Celery 5.7 value_set_for does not see settings with a namespace.
    set_there = Settings({}, conf.maps[:-1], conf._keys, conf.prefix)
    for name, value in NEEDED.items():
        if name not in set_there:
            conf[name] = value
    _hide(conf)


def find_unfit_settings() -> Iterator[Lack]:
    """Settings of Celery with which the engine cannot keep its promises."""
    for shared in runtime.declared.shared_apps:
        for name, promised in _PROMISED.items():
            if not promised.holds(value := shared.conf.get(name)):
                yield Lack(
                    f"Celery's {name} is {_shown(name, value)} in the app {shared.main!r}, which the engine shares; "
                    f"the engine needs {promised.must_be}.",
                    "Change it, or take configure() away: the engine has an app of its own, celery -A sagas worker.",
                )
        if not is_rabbitmq_url(shared.conf.broker_write_url) or not is_rabbitmq_url(shared.conf.broker_read_url):
            yield Lack(
                f"The engine needs RabbitMQ, and the app {shared.main!r}, which it shares, has another broker.",
                "Set SAGAS['BROKER_URL'] and take configure() away: celery -A sagas worker is an app of its own.",
            )
    for name, value in config().celery.items():
        if name not in SETTING_KEYS:
            yield Lack(f"SAGAS['CELERY'] has {name!r}, which is no setting of Celery.", "Names are in lower case.")
            continue
        promised = _PROMISED_OF_OWN.get(name, _ANYTHING)
        if not promised.holds(_merged(name, value)):
            what = f"SAGAS['CELERY'][{name!r}] is {_shown(name, value)}; the engine needs it {promised.must_be}."
            yield Lack(what, "Remove it.")


def _merged(name: str, value: Any) -> Any:
    needed = NEEDED.get(name)
    return {**needed, **value} if isinstance(needed, Mapping) and isinstance(value, Mapping) else value


def _shown(name: str, value: Any) -> str:
    return MASK if "url" in name else redact(repr(value))


@celeryd_init.connect
def _refuse(instance: Any, **_: Any) -> None:
    """Refuse to start a worker of the engine that could not work: its runs would stay pending without an error."""
    if does_engine_work(instance.app) and (found := [*lacking(), *find_unfit_settings()]):
        raise SystemExit("\n".join(f"sagas: {lack}" for lack in found))


def _hide(conf: Any) -> None:
    """Have ``celery report`` and ``celery inspect conf`` hide the engine's secrets, and the passwords in all URLs.

    Celery shows all Django settings that an app reads, also ``SAGAS``, and hides values only by the setting's name.
    """
    conf.__dict__["table"] = partial(_table, type(conf).table, conf)


def _table(table: Callable[..., dict[str, Any]], conf: Any, with_defaults: bool = False, censored: bool = True) -> Any:
    shown = table(conf, with_defaults, censored)
    if not censored:
        return shown
    return {name: MASK if name == "SAGAS" else redact_all(value) for name, value in shown.items()}
