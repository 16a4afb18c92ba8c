"""The saga of webhooks: an event is told to one endpoint."""

from __future__ import annotations

from datetime import timedelta

from sagas import Retry, Saga, Step
from webhooks import outcomes, sending
from webhooks.requests import Delivery


class DeliverEvent(Saga[Delivery]):
    """Send an event until the endpoint takes it, for three days. There is nothing to undo, and no person is called."""

    # An attempt fails where a worker dies in the middle of it. What an endpoint does not take is none.
    send = Step(
        sending.send, queue="webhooks", retry=Retry(attempts=20, delay=timedelta(seconds=5), never=(sending.GivenUp,))
    )
    note = Step(outcomes.note, queue="webhooks")
