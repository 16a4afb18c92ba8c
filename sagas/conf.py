"""The settings of the engine: one dict, ``SAGAS``, read once, with a default for all but the queues."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cache
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.signals import setting_changed
from django.db import DEFAULT_DB_ALIAS

from sagas.errors import SagaError
from sagas.limits import WAIT
from sagas.redaction import redact
from sagas.signatures import BadSecret, parse_secrets
from sagas.states import CARRIERS, CHOREOGRAPHY, FINAL


class Misconfigured(SagaError):
    """``SAGAS`` is wrong. ``hint`` says how to correct it."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(f"{message} {hint}")
        self.message = message
        self.hint = hint


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """``SAGAS``, each key in lower case.

    The table in ``docs/reference/settings.md`` is written from these lines (``python -m tests.docs.settings_table``).

    Attributes:
        queues (names): the RabbitMQ queues that steps may name, one a domain.
        redis_url (URL): for kicks, the guard of compensations and circuits; without it, tick and database do the work.
            Each project needs a Redis database number of its own (``…/0``, ``…/1``), because the keys do not name the
            project.
        broker (``'rabbitmq'`` or ``None``): ``None``: there is no broker, and ``manage.py sagas work`` claims and
            performs. ``GRACE`` is 0 then, if it is not set.
        broker_api_url (URL): RabbitMQ's management API, ``http://user:password@host:15672``, with a user that has the
            tag ``monitoring``: the doctor looks there for policies that remove messages.
        broker_url (URL, or a list): RabbitMQ, ``amqp://user:password@host:5672/vhost``; without it the project's
            ``CELERY_BROKER_URL`` is used. Several URLs are tried one after the other. Each project needs a vhost of
            its own, because the queues do not name the project.
        celery (dict): Celery settings for the engine's own app, by their lower-case names, such as
            ``{"worker_max_tasks_per_child": 1000}``.
        listen_database (alias): the alias in ``DATABASES`` by which ``manage.py sagas work`` listens for
            notifications: behind PgBouncer that of the server itself.
        cohort (runs): the most runs that travel in one message and share a transaction.
        claim (runs): the most runs that one dispatch claims.
        lease (seconds): how long a claimed run may stand still before it is claimed again; doubled with each claim
            without progress.
        lease_limit (claims): claims without progress after which the run is escalated; at least 2, because it travels
            alone in the last one.
        reclaim (runs): the most runs with a lapsed lease that one dispatch claims again.
        grace (seconds): how long after a deadline the tick waits for RabbitMQ's message before it judges the deadline.
        tick (seconds): how often each worker asks for a dispatch, with or without a kick.
        delays (seconds): TTLs of the delay queues; a wait is rounded up to one of them, or down to the longest.
        backlog (messages): messages on the step queues above which no new run is begun.
        admission (seconds): expected wait to begin above which ``sagas.check_admission`` refuses new runs.
        carriers (dict): by the saga's name, ``"orchestration"`` or ``"choreography"``, where it differs from the
            saga's ``carrier``.
        callback_secret (secret): the secret of the signatures of reports over HTTP: ``whsec_`` and at least 24 bytes
            in base64, or a list of secrets while it is being changed. Without a secret no reports are taken.
        relay (runs): the most runs whose events one dispatch publishes, in one transaction.
        deliveries (deliveries): deliveries, or interruptions by a lost session, of a single run's message that count
            as a fault.
        escalation_urls (URLs): where notices of escalations are sent: a list of apprise URLs, such as
            ``dingtalk://…``, ``slack://…`` or ``mailtos://…``. They contain secrets: take them from the environment.
            They are never logged.
        admin_url (URL): where Django's admin is, such as ``https://shop.example/admin/``, for links in notices.
        trace_url (URL): where a trace is shown, with ``{trace_id}`` in the place of its 32 hexadecimal digits, for a
            link on a run's page: ``https://jaeger.example/trace/{trace_id}``.
        acknowledge_within (seconds): how long people have to acknowledge an escalation before the notice is repeated.
        notice_lease (seconds): how long a published notice may stay unsent before it is published again; doubled each
            time, up to ``ACKNOWLEDGE_WITHIN``.
        breaker_windows (windows): consecutive bad windows after which a participant's breaker opens; ``0`` for no
            breakers.
        breaker_window (seconds): length of a window.
        breaker_rate (part of 1): the part of the retried confirms and undos that fails in a bad window, at least.
        breaker_operations (operations): the most of them that count in a window: the last ones.
        breaker_minimum (operations): a window with fewer of them is not bad.
        breaker_probe (seconds): the pause between the probes of an open breaker.
        guard_ttl (seconds): how long Redis holds back doubled deliveries of a compensation under way; ``0`` leaves
            them to the database.
        data_limit (bytes): the largest JSON of a request, of a step's result, or of a confirmation's data.
        retention (days): by the saga's name, for how many days runs are kept after their end: a number, ``None`` for
            ever, or either by outcome (``{"SUCCEEDED": 400, "FAILED": 90}``); ``"*"`` for all sagas that are not
            named. Empty: all for ever.
        prune (runs): the most old runs that all ticks together delete in the time of one ``TICK``, at most 1,000; with
            ``0`` only the commands delete.
        metrics (yes or no): whether processes count and measure what they do, for ``manage.py sagas metrics``.
        metrics_token (secret): the bearer token that ``manage.py sagas metrics --listen`` asks for, of at least 16
            characters.
        silent_after (seconds): how long messages may wait in queues that a worker of Celery consumes, while it is at
            none and gets none, before it ends itself: its consumer has stopped. ``0``: it never does.
    """

    queues: tuple[str, ...]
    # Settings with secrets are in no repr: tracebacks with local variables go to logs and to services.
    redis_url: str | None = field(default=None, repr=False)
    broker: str | None = "rabbitmq"
    broker_url: str | tuple[str, ...] | None = field(default=None, repr=False)
    broker_api_url: str | None = field(default=None, repr=False)
    celery: Mapping[str, Any] = field(default_factory=dict, repr=False)
    listen_database: str = DEFAULT_DB_ALIAS
    cohort: int = 400
    claim: int = 800
    lease: float = 10.0
    lease_limit: int = 6
    reclaim: int = 200
    grace: float = 1.0
    tick: float = 1.0
    delays: tuple[float, ...] = (0.1, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)
    backlog: int = 24
    admission: float = 120.0
    deliveries: int = 3
    guard_ttl: float = 5.0
    escalation_urls: tuple[str, ...] = field(default=(), repr=False)
    admin_url: str | None = field(default=None, repr=False)
    trace_url: str | None = None
    acknowledge_within: float = 900.0
    notice_lease: float = 30.0
    breaker_windows: int = 3
    breaker_window: float = 60.0
    breaker_rate: float = 0.15
    breaker_operations: int = 100
    breaker_minimum: int = 5
    breaker_probe: float = 30.0
    relay: int = 200
    data_limit: int = 65_536
    retention: Mapping[str, Any] = field(default_factory=dict)
    prune: int = 0
    metrics: bool = False
    metrics_token: str | None = field(default=None, repr=False)
    silent_after: float = 60.0
    # Not in any repr: tracebacks with local variables go to logs and to services.
    callback_secret: str | Sequence[str] | None = field(default=None, repr=False)
    carriers: Mapping[str, str] = field(default_factory=dict)

    def is_choreographed(self, saga: str, carrier: str) -> bool:
        """Whether the runs of a saga travel by events; ``carrier`` is what the saga says."""
        return self.carriers.get(saga, carrier) == CHOREOGRAPHY

    def delay_for(self, seconds: float) -> float:
        """The TTL of the shortest delay queue that is not shorter than ``seconds``, or of the longest one."""
        return min((d for d in self.delays if d >= seconds), default=max(self.delays))


#: Prefixes of names that RabbitMQ, the engine or Celery reserves.
RESERVED_PREFIXES = ("amq.", "sagas.", "celery")

#: RabbitMQ counts in milliseconds.
SHORTEST_DELAY = 0.001

_POSITIVE = ("lease", "tick", "admission", "acknowledge_within", "notice_lease", "breaker_window", "breaker_probe")
#: The most runs that one transaction prunes.
MOST_PRUNED = 1000

_NOT_NEGATIVE = ("grace", "guard_ttl", "silent_after")
_WHOLE = (
    "cohort",
    "claim",
    "lease_limit",
    "reclaim",
    "backlog",
    "deliveries",
    "relay",
    "breaker_operations",
    "breaker_minimum",
    "data_limit",
)
_REDIS_SCHEMES = ("redis://", "rediss://", "unix://")
_BROKER_SCHEMES = ("amqp://", "amqps://", "pyamqp://")


def parse_settings(raw: object) -> Config:
    """Read the dict of the settings as a ``Config``; ``Misconfigured`` says what is wrong."""
    if not isinstance(raw, dict):
        raise Misconfigured(
            "settings.SAGAS is missing or no dict.",
            'Set SAGAS = {"QUEUES": ["orders"], "REDIS_URL": "redis://…"}.',
        )
    known = {field.name.upper(): field.name for field in fields(Config)}
    unknown = sorted(str(key) for key in set(raw) - set(known))
    if unknown:
        raise Misconfigured(f"SAGAS has unknown keys: {', '.join(unknown)}.", f"Known are: {', '.join(known)}.")
    values: dict[str, Any] = {known[key]: value for key, value in raw.items()}
    queues = values.get("queues")
    if not isinstance(queues, list | tuple) or not queues or not all(isinstance(q, str) and q for q in queues):
        raise Misconfigured(
            "SAGAS['QUEUES'] must list the queues of the steps.",
            'For example "QUEUES": ["orders", "inventory"].',
        )
    reserved = [q for q in queues if q.startswith(RESERVED_PREFIXES)]
    if reserved:
        raise Misconfigured(f"SAGAS['QUEUES'] has reserved names: {', '.join(reserved)}.", "Choose other names.")
    values["queues"] = tuple(dict.fromkeys(queues))
    if values.get("broker", "") is None:
        values.setdefault("grace", 0.0)
    for name in ("delays", "escalation_urls", "broker_url"):
        if isinstance(values.get(name), list):
            values[name] = tuple(values[name])
    config = Config(**values)
    _check_numbers(config)
    delays: Any = config.delays
    if not isinstance(delays, tuple) or not delays or not all(_is_number(d) and d >= SHORTEST_DELAY for d in delays):
        raise Misconfigured(f"SAGAS['DELAYS'] is {delays!r}.", "Give a list of seconds, each at least 0.001.")
    _check_carriers(config)
    if config.broker not in {None, "rabbitmq"}:
        raise Misconfigured(
            f"SAGAS['BROKER'] is {redact(repr(config.broker))}.",
            'Give None to run without a broker; or leave it out. The URL of RabbitMQ is "BROKER_URL".',
        )
    if config.listen_database not in settings.DATABASES:
        raise Misconfigured(
            f"SAGAS['LISTEN_DATABASE'] is {config.listen_database!r}, which DATABASES does not have.",
            "Give the alias of the engine's database without a pooler; or leave it out.",
        )
    _check_urls(config)
    _check_breaker(config)
    _check_metrics(config)
    _check_retention(config)
    return config


def _check_carriers(config: Config) -> None:
    try:
        if config.callback_secret is not None:
            parse_secrets(config.callback_secret)
    except BadSecret as error:
        raise Misconfigured(
            f"SAGAS['CALLBACK_SECRET']: {error}.", "Give whsec_ and 24 to 64 bytes in base64; or a list of such."
        ) from None
    carriers: Any = config.carriers
    if not isinstance(carriers, Mapping) or not all(carrier in CARRIERS for carrier in carriers.values()):
        raise Misconfigured(
            f"SAGAS['CARRIERS'] is {carriers!r}.", 'Give a dict such as {"orders.PlaceOrder": "choreography"}.'
        )


def _check_retention(config: Config) -> None:
    retention: Any = config.retention
    if not isinstance(retention, Mapping) or not all(
        isinstance(saga, str)
        and (set(kept) <= FINAL and all(map(_is_age, kept.values())) if isinstance(kept, Mapping) else _is_age(kept))
        for saga, kept in retention.items()
    ):
        raise Misconfigured(
            f"SAGAS['RETENTION'] is {retention!r}.",
            'Give days by saga, such as {"orders.PlaceOrder": {"SUCCEEDED": 400, "FAILED": 90}, "*": 400}; None keeps '
            "runs for ever.",
        )
    if type(config.prune) is not int or not 0 <= config.prune <= MOST_PRUNED:
        raise Misconfigured(
            f"SAGAS['PRUNE'] is {config.prune!r}.",
            f"Give a whole number of runs a tick, at most {MOST_PRUNED}; 0 if only the commands prune.",
        )


#: Characters of a token, at least: fewer can be guessed.
_TOKEN = 16


def _check_metrics(config: Config) -> None:
    if type(config.metrics) is not bool:
        raise Misconfigured(f"SAGAS['METRICS'] is {config.metrics!r}.", "Give True or False.")
    token: Any = config.metrics_token
    if token is not None and not (isinstance(token, str) and len(token) >= _TOKEN and token.isascii()):
        # As other secrets, it does not belong on a screen.
        raise Misconfigured("SAGAS['METRICS_TOKEN'] is no token.", f"Give at least {_TOKEN} ASCII characters, or none.")


def _is_age(days: object) -> bool:
    return days is None or (isinstance(days, int | float) and _is_number(days) and 0 < days <= WAIT.days)


def _check_breaker(config: Config) -> None:
    if type(config.breaker_windows) is not int or config.breaker_windows < 0:
        raise Misconfigured(
            f"SAGAS['BREAKER_WINDOWS'] is {config.breaker_windows!r}.", "Give a whole number; 0 for no breakers."
        )
    if not _is_number(config.breaker_rate) or not 0 < config.breaker_rate <= 1:
        raise Misconfigured(f"SAGAS['BREAKER_RATE'] is {config.breaker_rate!r}.", "Give a part of 1, such as 0.15.")
    if config.breaker_minimum > config.breaker_operations:
        raise Misconfigured(
            f"SAGAS['BREAKER_MINIMUM'] is {config.breaker_minimum!r}, of {config.breaker_operations!r} operations.",
            "Give no more than BREAKER_OPERATIONS.",
        )


def _check_urls(config: Config) -> None:
    redis: Any = config.redis_url
    if redis is not None and not (isinstance(redis, str) and redis.startswith(_REDIS_SCHEMES)):
        # The URL has a password in it, which does not belong on a screen.
        raise Misconfigured("SAGAS['REDIS_URL'] is no URL of Redis.", "Give redis://host:6379/0, or leave it out.")
    api: Any = config.broker_api_url
    if api is not None and not (isinstance(api, str) and api.startswith(("https://", "http://"))):
        raise Misconfigured(
            "SAGAS['BROKER_API_URL'] is no URL of RabbitMQ's management API.",
            "Give http://user:password@host:15672, or leave it out.",
        )
    if config.broker_url is not None and not is_rabbitmq_url(config.broker_url):
        raise Misconfigured(
            "SAGAS['BROKER_URL'] is no URL of RabbitMQ: the engine's promises rest on its queues.",
            "Give amqp://user:password@host:5672/vhost, or a list of such, or leave it out for CELERY_BROKER_URL.",
        )
    celery: Any = config.celery
    if not isinstance(celery, Mapping) or not all(isinstance(name, str) for name in celery):
        raise Misconfigured(
            "SAGAS['CELERY'] is no dict of Celery's settings.",
            'Give a dict such as {"worker_max_tasks_per_child": 1000}.',
        )
    urls: Any = config.escalation_urls
    if not isinstance(urls, tuple) or not all(isinstance(u, str) and "://" in u for u in urls):
        # As above: tokens and passwords.
        raise Misconfigured(
            "SAGAS['ESCALATION_URLS'] is no list of URLs of apprise.",
            'Give a list such as ["slack://…", "mailtos://…"]; the docs of apprise say how each is written.',
        )
    url: Any = config.admin_url
    if url is not None and not (isinstance(url, str) and url.startswith(("https://", "http://"))):
        raise Misconfigured(
            f"SAGAS['ADMIN_URL'] is {redact(repr(url))}.",
            "Give the address of the admin, https://shop.example/admin/, or none.",
        )
    trace: Any = config.trace_url
    if trace is not None and not (
        isinstance(trace, str) and trace.startswith(("https://", "http://")) and "{trace_id}" in trace
    ):
        raise Misconfigured(
            f"SAGAS['TRACE_URL'] is {redact(repr(trace))}.",
            "Give the address of a trace, https://jaeger.example/trace/{trace_id}, or none.",
        )


def is_rabbitmq_url(url: object) -> bool:
    """Whether a value is a URL of RabbitMQ: one URL, several with semicolons between, or a list of them."""
    urls = url.split(";") if isinstance(url, str) else url
    if not isinstance(urls, list | tuple) or not urls:
        return False
    return all(isinstance(one, str) and one.startswith(_BROKER_SCHEMES) and has_readable_port(one) for one in urls)


def has_readable_port(url: str) -> bool:
    """Whether the port of a URL can be read. If a password was not escaped, a part of it may stand there."""
    try:
        urlsplit(url).port  # noqa: B018 - reading it is the question
    except ValueError:
        return False
    return True


def _check_numbers(config: Config) -> None:
    for name in _POSITIVE:
        if not _is_number(value := getattr(config, name)) or value <= 0:
            raise Misconfigured(f"SAGAS['{name.upper()}'] is {value!r}.", "Give a number above 0.")
    for name in _WHOLE:
        if type(value := getattr(config, name)) is not int or value < 1:
            raise Misconfigured(f"SAGAS['{name.upper()}'] is {value!r}.", "Give a whole number above 0.")
    for name in _NOT_NEGATIVE:
        if not _is_number(value := getattr(config, name)) or value < 0:
            raise Misconfigured(f"SAGAS['{name.upper()}'] is {value!r}.", "Give seconds, 0 or more.")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


@cache
def config() -> Config:
    """The parsed settings."""
    return parse_settings(getattr(settings, "SAGAS", None))


def _forget(*, setting: str, **_: object) -> None:
    if setting == "SAGAS":
        config.cache_clear()


setting_changed.connect(_forget)
