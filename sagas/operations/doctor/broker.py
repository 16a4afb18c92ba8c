"""Probes of RabbitMQ. All of them share one connection, which the doctor opens."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from http.client import HTTPException
from typing import Any
from urllib.parse import quote, unquote, urlsplit
from urllib.request import Request, urlopen

from amqp import NotFound
from kombu import Connection

from sagas.conf import config
from sagas.db import describe_error
from sagas.messaging import topology
from sagas.operations.doctor.finding import Finding, Severity
from sagas.redaction import redact


def version(broker: Connection) -> Iterator[Finding]:
    """Report a RabbitMQ that is too old."""
    if lack := topology.find_old_server(broker):
        yield Finding(Severity.ERROR, lack.what, remedy=lack.remedy)


def queues(broker: Connection) -> Iterator[Finding]:
    """Report queues that are missing or were declared with other arguments."""
    missing, differing = topology.compare_queues(broker)
    if missing:
        what = f"Queues are missing in RabbitMQ: {', '.join(missing)}."
        yield Finding(Severity.ERROR, what, remedy="Run manage.py sagas topology.")
    if differing:
        what = f"Queues were declared with other arguments and are used unchanged: {', '.join(differing)}."
        remedy = "Let them run empty, stop their workers, and run manage.py sagas topology --replace."
        yield Finding(Severity.ERROR, what, remedy=remedy)
    if not missing and not differing:
        yield Finding(Severity.FINE, "Every queue is declared in RabbitMQ with the right arguments.")


#: Keys of policies that remove messages, and the effect of each. The lower value of policy and queue counts.
_TAKES_AWAY = {
    "message-ttl": "messages are removed after that time",
    "expires": "the queue is removed when it is not used",
    "max-length": "messages are refused, or gone, when there are many",
    "max-length-bytes": "messages are refused, or gone, when there are many",
}
#: The least consumer timeout, in seconds, that leaves an operation enough time. RabbitMQ's default is half an hour.
_UNACKED = 600.0
_ANSWER = 5.0


def policies(broker: Connection) -> Iterator[Finding]:
    """Report policies that remove messages from the engine's queues. Only RabbitMQ's management API lists policies."""
    url = config().broker_api_url
    if url is None:
        what = "RabbitMQ's policies are not checked: SAGAS['BROKER_API_URL'] names no management API."
        yield Finding(Severity.FINE, what)
        return
    try:
        effective = _effective_policies(url, broker.virtual_host or "/")
    except (OSError, ValueError, HTTPException) as error:
        what = f"RabbitMQ's policies cannot be read: {redact(describe_error(error))}."
        remedy = "Check SAGAS['BROKER_API_URL'], and that its user has the tag monitoring."
        yield Finding(Severity.WARNING, what, remedy=remedy)
        return
    own = {queue.name for queue in topology.all_queues()}
    found = [finding for name in sorted(own) for finding in _judge(name, effective.get(name, {}))]
    yield from found
    if not found:
        yield Finding(Severity.FINE, "No policy of RabbitMQ removes messages from the engine's queues.")


def _effective_policies(url: str, vhost: str) -> dict[str, dict[str, Any]]:
    """Map each queue to the combined definition of its policy and its operator policy."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    columns = "columns=name,effective_policy_definition"
    request = Request(f"{parts.scheme}://{host}{parts.path.rstrip('/')}/api/queues/{quote(vhost, safe='')}?{columns}")  # noqa: S310 - http or https, by the settings
    user = f"{unquote(parts.username or 'guest')}:{unquote(parts.password or 'guest')}"
    request.add_header("Authorization", f"Basic {b64encode(user.encode()).decode()}")
    with urlopen(request, timeout=_ANSWER) as answer:  # noqa: S310 - see above
        queues = json.load(answer)
    # For a queue without policies RabbitMQ answers with an empty list instead of an object.
    return {queue["name"]: dict(queue.get("effective_policy_definition") or {}) for queue in queues}


def _judge(queue: str, policy: Mapping[str, Any]) -> Iterator[Finding]:
    remedy = "Exclude the engine's queues from the policy's pattern: rabbitmqctl list_policies."
    for key, what in _TAKES_AWAY.items():
        if key in policy:
            yield Finding(Severity.ERROR, f"A policy sets {key} on {queue}: {what}.", remedy=remedy)
    if (limit := policy.get("delivery-limit", topology.DELIVERY_LIMIT)) < topology.DELIVERY_LIMIT:
        what = f"A policy sets delivery-limit {limit} on {queue}: restarts of workers set messages aside."
        yield Finding(Severity.ERROR, what, remedy=remedy)
    if (most := policy.get("consumer-timeout")) is not None and most < _UNACKED * 1000:
        what = f"A policy sets consumer-timeout {most} ms on {queue}: steps that take longer are delivered again."
        yield Finding(Severity.WARNING, what, remedy=remedy)


def consumers(broker: Connection) -> Iterator[Finding]:
    """Report queues without consumers, and queues on which many messages wait."""
    found: dict[str, tuple[int, int]] = {}
    for queue in topology.work_queues():
        try:
            with broker.channel() as opened:
                channel: Any = opened
                declared = channel.queue_declare(queue.name, passive=True)
                found[queue.name] = declared.message_count, declared.consumer_count
        except NotFound:
            continue  # the probe of queues reports it
    alone = sorted(name for name, (_, consuming) in found.items() if not consuming)
    waiting = {name: found[name][0] for name in alone if found[name][0]}
    if waiting:
        said = ", ".join(f"{name} ({count})" for name, count in waiting.items())
        yield Finding(
            Severity.ERROR,
            f"Messages wait on queues that nobody consumes: {said}.",
            remedy="Start workers for them. Without -Q a worker consumes all queues.",
        )
    if rest := [name for name in alone if name not in waiting]:
        remedy = "Start workers for them. Without -Q a worker consumes all queues."
        yield Finding(Severity.WARNING, f"Nobody consumes {', '.join(rest)}.", remedy=remedy)
    for name, (count, consuming) in sorted(found.items()):
        if consuming and count > config().backlog:
            what = f"{count} message(s) wait on {name} for {consuming} consumer(s)."
            remedy = "See the workers above: they are too slow, or hang. RabbitMQ notices the latter after some time."
            yield Finding(Severity.WARNING, what, remedy=remedy)
    if not alone:
        said = ", ".join(f"{name} ({consuming})" for name, (_, consuming) in sorted(found.items()))
        yield Finding(Severity.FINE, f"Every queue is consumed: {said}.")


def dead_letters(broker: Connection) -> Iterator[Finding]:
    """Report dead letters."""
    try:
        with broker.channel() as opened:
            channel: Any = opened
            count: int = channel.queue_declare(topology.dead_letter_queue().name, passive=True).message_count
    except NotFound:
        return  # the probe of queues reports it
    if count:
        yield Finding(
            Severity.WARNING,
            f"{count} message(s) were set aside as dead letters.",
            remedy="See manage.py sagas dead. No run depends on them: replay what still makes sense, drop the rest.",
        )
    else:
        yield Finding(Severity.FINE, "No message was set aside.")


#: Probes that ask RabbitMQ, over one connection. The first one that gets no answer is the last.
PROBES: Sequence[Callable[[Connection], Iterable[Finding]]] = (version, queues, policies, consumers, dead_letters)
