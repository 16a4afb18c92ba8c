"""What the engine meets outside the database, in simulated form: a broker that loses, and a Redis that forgets.

The engine's own code runs up to the calls of Celery, kombu and redis-py. ``Redis`` answers what
``sagas.redis.kicks`` and ``sagas.redis.compensation_guard`` ask, with the meaning of the guard's scripts;
``wire`` turns what ``sagas.messaging.publisher`` would send into messages of the simulation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import redis

from sagas import store
from sagas.conf import config
from sagas.decisions import choreography
from sagas.decisions.messages import Chain, Link
from sagas.messaging import publisher, topology
from sagas.redis import compensation_guard


@dataclass(slots=True)
class Parcel:
    """A message on its way.

    Attributes:
        kind: "step", "event", "deadline" or "dispatch".
        label: what it is, by the names of its runs.
        delay: seconds for which it is held back on purpose.
        ids: its runs.
        kwargs: the other arguments of its task.
        rest: the links that follow in its chain.
        token: see ``decisions.messages.Chain.token``.
        queue: where it goes.
        name: the label and its number; set when it is sent.
        deliveries: how often it was delivered before, as a quorum queue counts it.
        interruptions: see ``decisions.messages.Chain.interruptions``.
        by_message: see ``decisions.messages.Chain.by_message``.
    """

    kind: str
    label: str
    delay: float = 0.0
    ids: tuple[UUID, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)
    rest: tuple[Link, ...] = ()
    token: int = 0
    queue: str = ""
    name: str = ""
    deliveries: int = 0
    interruptions: int = 0
    by_message: bool = False


def step_parcel(links: Sequence[Link], ids: Sequence[UUID], names: str, *, token: int = 0, delay: float = 0) -> Parcel:
    """A cohort at the first of these links."""
    link = links[0]
    kwargs = {
        "saga": link.saga,
        "version": link.version,
        "step": link.step,
        "phase": link.phase.value,
        "shape": link.shape,
    }
    label = f"{link.step}.{link.operation}({names})"
    return Parcel("step", label, delay, tuple(ids), kwargs, tuple(links[1:]), token, link.queue)


def chain_parcel(message: Chain, names: str) -> Parcel:
    """What ``dispatch`` publishes of a chain, under orchestration."""
    delay = float(config().delay_for(message.delay)) if message.delay else 0.0
    parcel = step_parcel(message.links, message.ids, names, token=message.token, delay=delay)
    parcel.interruptions, parcel.by_message = message.interruptions, message.by_message
    return parcel


def task_parcels(
    name: str, args: list[Any], kwargs: dict[str, Any], where: dict[str, Any], names: Callable[[Sequence[UUID]], str]
) -> list[Parcel]:
    """What RabbitMQ makes of a task message that ``dispatch`` sends: one parcel for each queue that gets it."""
    delay = _delay(str(where.get("exchange", "")))
    if name == publisher.DISPATCH_TASK:
        return [Parcel("dispatch", "dispatch", delay)]
    if name == publisher.CANCEL_TASK:
        ids = tuple(map(UUID, kwargs["ids"]))
        return [Parcel("deadline", f"deadline:{kwargs['confirmation']}({names(ids)})", delay, ids, kwargs)]
    assert name == publisher.EVENT_TASK, name
    ids = tuple(map(UUID, args[0]))
    token = int((where.get("headers") or {}).get(publisher.FENCE_HEADER, 0))
    if where["exchange"] == topology.CHOREOGRAPHY_EXCHANGE:
        definition = store.definitions.find(kwargs["saga"], kwargs["version"], kwargs["shape"])
        key = where["routing_key"]
        queues = sorted({queue for queue, bound in choreography.bindings(definition) if bound == key})
    else:
        queues = [where["routing_key"]]
    event = kwargs["event"]
    return [
        Parcel("event", f"{event}>{queue}({names(ids)})", delay, ids, kwargs, token=token, queue=queue)
        for queue in queues
    ]


def _delay(exchange: str) -> float:
    for prefix in ("exchange.delay.", "exchange.deadline."):
        if exchange.startswith(prefix):
            return int(exchange.removeprefix(prefix)) / 1000
    return 0.0


class Redis:
    """A Redis of the simulation's time. It stands where ``redis.client.client()`` does, and serves only the engine.

    Args:
        now: the simulated time.
        point: called before each command.
        kicked: called when a kick is left.
    """

    def __init__(self, now: Callable[[], float], point: Callable[[str], None], kicked: Callable[[], None]) -> None:
        self.now = now
        self.point = point
        self.kicked = kicked
        self.away_until = -1.0
        self.keys: dict[str, tuple[bytes, float]] = {}

    def forget(self) -> None:
        """Start again, empty."""
        self.keys.clear()

    def _command(self, what: str) -> None:
        self.point(what)
        if self.now() < self.away_until:
            raise redis.ConnectionError("away")

    # -- of kicks -----------------------------------------------------------------------------------------------------

    @property
    def connection_pool(self) -> Redis:
        return self

    def make_connection(self) -> Redis:
        return self

    def connect(self) -> None:
        return

    def disconnect(self) -> None:
        return

    def can_read(self) -> bool:
        return False

    def send_command(self, *_: str, check_health: bool) -> None:
        return

    def send_packed_command(self, packets: Sequence[bytes], *, check_health: bool) -> None:
        for packet in packets:
            if b"LPUSH" in packet:
                self._command("redis kick")
                self.kicked()
            else:
                assert packet.startswith(b"*2\r\n$3\r\nDEL\r\n"), packet
                self.delete(packet.split(b"\r\n")[4].decode())

    def set(self, key: str, value: str, *, nx: bool, px: int) -> bool:
        self._command("redis set")
        if self._get(key) is not None:
            return False
        self.keys[key] = value.encode(), self.now() + px / 1000
        return True

    def delete(self, key: str) -> None:
        self._command("redis delete")
        self.keys.pop(key, None)

    # -- of the guard -------------------------------------------------------------------------------------------------

    def eval(self, script: str, count: int, *arguments: Any) -> list[bytes] | None:
        keys, (owner, token, life, *done) = arguments[:count], arguments[count:]
        self._command("redis eval")
        until = self.now() + life / 1000
        if script == compensation_guard._TAKE:
            return [self._take(key, owner, int(token), until) for key in keys]
        mine = f"{token}:{owner}".encode()
        for key, is_done in zip(keys, done, strict=True):
            if self._get(key) == mine:
                if is_done:
                    self.keys[key] = f"{token}:done".encode(), until
                else:
                    del self.keys[key]
        return None

    def _take(self, key: str, owner: str, token: int, until: float) -> bytes:
        known, _, by = (self._get(key) or b"").decode().partition(":")
        if by == "done":
            return b"done"
        if by and int(known) == token:
            return b"busy"
        if by and int(known) > token:
            return b"ask"
        self.keys[key] = f"{token}:{owner}".encode(), until
        return b"free"

    def _get(self, key: str) -> bytes | None:
        value, until = self.keys.get(key, (None, 0.0))
        if value is not None and until <= self.now():
            del self.keys[key]
            return None
        return value
