"""The settings of the engine: one dict, ``SAGAS``, read once, with a default for all but the queues."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from functools import cache
from typing import Any

from django.conf import settings
from django.core.signals import setting_changed

from sagas.errors import SagaError


class Misconfigured(SagaError):
    """``SAGAS`` is wrong. ``hint`` says how to mend it."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(f"{message} {hint}")
        self.message = message
        self.hint = hint


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """``SAGAS``, each key in lower case. Times are in seconds.

    Attributes:
        queues: the RabbitMQ queues that steps may name, one a domain.
        redis_url: where kicks go; ``None`` leaves all to the tick.
        cohort: runs that travel in one message, at most.
        claim: runs one dispatch claims, at most.
        lease: how long a claimed run may stand still before it is claimed again; doubled each time.
        lease_limit: claims without progress, after which the run is escalated.
        reclaim: runs with a lapsed lease that one dispatch takes up again, at most.
        grace: how long after its deadline the tick waits for RabbitMQ's message.
        tick: how often a worker asks for a dispatch, kicked or not.
        delays: TTLs of the delay queues for retries; a wait is rounded up to one of them.
        backlog: messages on the step queues above which no new run is begun.
        admission: age of the backlog above which new runs are refused.
        deliveries: how often one run's message may be delivered before that counts as a fault.
        data_limit: bytes of JSON that a request, a step's result, or a confirmation's data may have.
    """

    queues: tuple[str, ...]
    redis_url: str | None = None
    cohort: int = 100
    claim: int = 400
    lease: float = 10.0
    lease_limit: int = 6
    reclaim: int = 200
    grace: float = 1.0
    tick: float = 1.0
    delays: tuple[float, ...] = (0.1, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)
    backlog: int = 24
    admission: float = 120.0
    deliveries: int = 3
    data_limit: int = 65_536

    def delay_for(self, seconds: float) -> float:
        """The shortest delay queue that is not shorter than ``seconds`` (else the longest)."""
        return min((d for d in self.delays if d >= seconds), default=max(self.delays))


#: Names that RabbitMQ or the engine use for themselves.
RESERVED_PREFIXES = ("amq.", "sagas.", "celery")

#: RabbitMQ counts milliseconds.
SHORTEST_DELAY = 0.001

_POSITIVE = ("lease", "tick", "admission")
_WHOLE = ("cohort", "claim", "lease_limit", "reclaim", "backlog", "deliveries", "data_limit")
_REDIS_SCHEMES = ("redis://", "rediss://", "unix://")


def parse(raw: object) -> Config:
    """Turn the dict of the settings into a ``Config``; ``Misconfigured`` says what is wrong."""
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
    if isinstance(values.get("delays"), list):
        values["delays"] = tuple(values["delays"])
    config = Config(**values)
    for name in _POSITIVE:
        if not _is_number(value := getattr(config, name)) or value <= 0:
            raise Misconfigured(f"SAGAS['{name.upper()}'] is {value!r}.", "Give a number above 0.")
    for name in _WHOLE:
        if type(value := getattr(config, name)) is not int or value < 1:
            raise Misconfigured(f"SAGAS['{name.upper()}'] is {value!r}.", "Give a whole number above 0.")
    if not _is_number(config.grace) or config.grace < 0:
        raise Misconfigured(f"SAGAS['GRACE'] is {config.grace!r}.", "Give seconds, 0 or more.")
    delays: Any = config.delays
    if not isinstance(delays, tuple) or not delays or not all(_is_number(d) and d >= SHORTEST_DELAY for d in delays):
        raise Misconfigured(f"SAGAS['DELAYS'] is {delays!r}.", "Give a list of seconds, each at least 0.001.")
    url: Any = config.redis_url
    if url is not None and not (isinstance(url, str) and url.startswith(_REDIS_SCHEMES)):
        # The URL has a password in it, which does not belong on a screen.
        raise Misconfigured("SAGAS['REDIS_URL'] is no URL of Redis.", "Give redis://host:6379/0, or leave it out.")
    return config


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


@cache
def config() -> Config:
    """The parsed settings."""
    return parse(getattr(settings, "SAGAS", None))


def _forget(*, setting: str, **_: object) -> None:
    if setting == "SAGAS":
        config.cache_clear()


setting_changed.connect(_forget)
