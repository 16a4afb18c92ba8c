"""The machines of a simulation with a broker, which loses, a Redis that forgets, and the workers that perform.

The engine's own tasks run here, each as an activity of the simulation. ``Machines`` is also what stands in place of
the calls by which ``sagas.messaging.publisher`` speaks to Celery and kombu.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from types import SimpleNamespace
from typing import Any
from uuid import UUID

from kombu.exceptions import OperationalError as BrokerError

from sagas import tasks
from sagas.conf import config
from sagas.decisions.messages import Chain, Link
from sagas.delivery.carrier import CarrierAway
from sagas.messaging import publisher
from sagas.redis import kicks
from tests.simulator import outside
from tests.simulator.outside import Parcel
from tests.simulator.simulation import Activity, Simulation

#: Seconds that a message takes when nothing holds it up.
LATENCY = 0.002
#: After so many seconds a message comes again whose worker has died.
REDELIVERED = 0.05
#: How often a message is delivered before RabbitMQ sets it aside: ``x-delivery-limit``.
DELIVERY_LIMIT = 20


class Machines:
    """What runs beside PostgreSQL in one simulation.

    Attributes:
        redis: stands where ``redis.client.client()`` does.
        broker_away_until: until when the broker refuses what it is given.
        leaks: queues whose messages are lost on the way, until when.
    """

    def __init__(self, simulation: Simulation) -> None:
        self.simulation = simulation
        self.redis = outside.Redis(lambda: simulation.now, simulation.point, self._kicked)
        self.broker_away_until = -1.0
        self.leaks: dict[str, float] = {}
        self._here = frozenset(simulation.schedule.settings.get("here", "").split(",")) - {""}
        self._is_kicked = False
        simulation.ticks = self._tick

    def close(self) -> None:
        """The simulation is over: there is nothing to close."""

    # -- the broker ---------------------------------------------------------------------------------------------------

    def send(self, parcel: Parcel) -> None:
        """Give a message to the broker."""
        simulation = self.simulation
        simulation.point("publish")
        if simulation.now < self.broker_away_until:
            simulation.running[-1].struck = True
            raise BrokerError("away")
        parcel.name = simulation.numbered(parcel.label)
        if simulation.now < self.leaks.get(parcel.queue, -1.0):
            simulation.tally.faults["leak"] += 1
            simulation.tell(f"! {parcel.name} is lost: {parcel.queue} leaks")
            return
        after = LATENCY + parcel.delay
        for item in simulation.chance.transit(parcel.name):
            simulation.note(item)
            match item.verb:
                case "lose":
                    return
                case "double":
                    copy = Parcel(**{name: getattr(parcel, name) for name in Parcel.__slots__})
                    copy.name += "~2"
                    self._deliver_after(after + item.number("after"), copy)
                case "delay":
                    after += item.number("by")
        self._deliver_after(after, parcel)

    def lose_messages(self) -> None:
        """The broker starts again, empty."""
        self.simulation.drop_carried()

    def _deliver_after(self, after: float, parcel: Parcel) -> None:
        name = f"{parcel.name}!{parcel.deliveries}" if parcel.deliveries else parcel.name
        deliver = {"step": self._step, "event": self._event, "deadline": self._deadline, "dispatch": self._dispatched}
        activity = Activity(
            name,
            lambda: deliver[parcel.kind](parcel),
            lambda: self._again(parcel),
            partial(_may_fail, parcel),
            carried=True,
        )
        self.simulation.post(self.simulation.now + after, activity)

    def _again(self, parcel: Parcel) -> None:
        """Its worker has died before the ack."""
        parcel.deliveries += 1
        if parcel.deliveries <= DELIVERY_LIMIT:
            self._deliver_after(REDELIVERED, parcel)

    def _is_lost(self, name: str) -> bool:
        lost = [item for item in self.simulation.chance.transit(name) if item.verb == "lose"]
        for item in lost:
            self.simulation.note(item)
        return bool(lost)

    # -- the workers --------------------------------------------------------------------------------------------------

    def _step(self, parcel: Parcel) -> None:
        task = self._task(publisher.STEP_TASK, parcel)
        self.simulation.running[-1].alone = bool(parcel.by_message or parcel.interruptions or parcel.deliveries)
        survivors = _serve(tasks.step, task, [str(run_id) for run_id in parcel.ids], **parcel.kwargs)
        if survivors and task.request.chain:
            ids = [UUID(run_id) for run_id in survivors]
            following = outside.step_parcel(parcel.rest, ids, self._called(ids))
            following.by_message = parcel.by_message
            self.send(following)
        self.simulation.point("acked")

    def _event(self, parcel: Parcel) -> None:
        task = self._task(publisher.EVENT_TASK, parcel)
        _serve(tasks.event, task, [str(run_id) for run_id in parcel.ids], **parcel.kwargs)
        self.simulation.point("acked")

    def _deadline(self, parcel: Parcel) -> None:
        _serve(tasks.cancel, self._task(publisher.CANCEL_TASK, parcel), **parcel.kwargs)
        self.simulation.point("acked")

    def _dispatched(self, parcel: Parcel) -> None:
        self._dispatch(tick=False)
        self.simulation.point("acked")

    def _dispatch(self, *, tick: bool) -> None:
        task = self._task(publisher.DISPATCH_TASK, Parcel("dispatch", "tick", name="tick"))
        _serve(tasks.dispatch_task, task, tick=tick)

    def _task(self, name: str, parcel: Parcel) -> Any:
        """What a task of Celery's finds as ``self``."""
        headers: dict[str, Any] = {tasks.QUEUE_HEADER: parcel.queue}
        if parcel.token:
            headers[publisher.FENCE_HEADER] = str(parcel.token)
        if parcel.deliveries:
            headers["x-delivery-count"] = parcel.deliveries
        if parcel.interruptions:
            headers[publisher.INTERRUPTIONS] = str(parcel.interruptions)
        if parcel.by_message:
            headers[publisher.BY_MESSAGE] = "1"
        request = SimpleNamespace(
            id=parcel.name,
            hostname="simulated",
            headers=headers,
            delivery_info={"redelivered": parcel.deliveries > 0},
            chain=list(parcel.rest),
        )
        app = SimpleNamespace(amqp=SimpleNamespace(queues=SimpleNamespace(consume_from=self._here)))
        return SimpleNamespace(name=name, request=request, app=app)

    def _tick(self) -> None:
        """A second is over."""
        name = self.simulation.numbered("tick")
        if not self._is_lost(name):
            self.simulation.perform(Activity(name, lambda: self._dispatch(tick=True), broke=_may_break))

    def _kicked(self) -> None:
        """A worker's main process waits for kicks, and asks for a dispatch unless one is on its way."""
        if not self._is_kicked and not self._is_lost(name := self.simulation.numbered("kick")):
            self._is_kicked = True
            activity = Activity(name, self._answer_kick, broke=_may_break)
            self.simulation.post(self.simulation.now + LATENCY, activity)

    def _answer_kick(self) -> None:
        self._is_kicked = False
        if kicks.try_reserve_dispatch():
            self.send(Parcel("dispatch", "dispatch"))

    # -- what the engine is given in place of Celery ------------------------------------------------------------------

    def publish_chain(self, _app: object, message: Chain) -> None:
        """``publisher._publish_chain``."""
        self.send(outside.chain_parcel(message, self._called(message.ids)))

    def send_task(self, _app: object, name: str, args: list[Any], kwargs: dict[str, Any], **where: Any) -> None:
        """``publisher.send_task``."""
        for parcel in outside.task_parcels(name, args, kwargs, where, self._called):
            self.send(parcel)

    def ask_for_dispatch(self, _app: object, *, tick: bool, delay: float = 0.0) -> None:
        """``publisher.ask_for_dispatch``."""
        self.send(Parcel("dispatch", "dispatch", delay))

    def pass_on(
        self,
        name: str,
        args: list[Any],
        kwargs: dict[str, Any],
        *,
        queue: str,
        chain: Any,
        delay: float,
        headers: dict[str, str],
    ) -> None:
        """``publisher.pass_on``: another worker may have the code for it."""
        ids = tuple(map(UUID, args[0]))
        rest: tuple[Link, ...] = tuple(chain or ())
        kind = "step" if name == publisher.STEP_TASK else "event"
        what = kwargs.get("step") or kwargs.get("event")
        parcel = Parcel(kind, f"passed:{what}({self._called(ids)})", delay, ids, kwargs, rest, queue=queue)
        parcel.token, parcel.interruptions = (
            int(headers.get(header, 0)) for header in (publisher.FENCE_HEADER, publisher.INTERRUPTIONS)
        )
        parcel.by_message = publisher.BY_MESSAGE in headers
        try:
            self.send(parcel)
        except BrokerError as error:
            raise CarrierAway from error

    def set_aside(self, what: str, _ids: Sequence[UUID], why: str) -> None:
        """``publisher.Publisher.set_aside``: all runs of a simulation exist."""
        self.simulation.complain("unknown", f"{what}: {why}")

    def _called(self, ids: Sequence[UUID]) -> str:
        """A cohort's name: those of its runs."""
        return "+".join(sorted(self.simulation.names.get(run_id, "?") for run_id in ids))


def _may_break(error: Exception) -> bool:
    """What a worker outlives: a refusing broker. The message is gone, and the lease finds its runs."""
    return isinstance(error, BrokerError | CarrierAway)


def _serve(task: Any, called: Any, *args: Any, **kwargs: Any) -> Any:
    """Have one of the engine's tasks do its work as Celery would, called as if by ``called``."""
    return tasks.serve(called, partial(task.run.__func__, called, *args, **kwargs))


def _may_fail(parcel: Parcel, error: Exception) -> bool:
    """What was passed on for a lease, and nobody had the code, is set aside: its runs are found by the tick."""
    passed: int = parcel.kwargs.get("passed", 0)
    return _may_break(error) or (isinstance(error, tasks.Poison) and passed >= config().lease)
