"""A network that doubles: whatever the engine publishes comes twice, the second time at once or a while later."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from functools import wraps
from typing import Any

from sagas.messaging import topology
from sagas.messaging.publisher import CANCEL_TASK, STEP_TASK

#: Dispatches are not doubled: they carry nothing, and a tick asks for one each second as it is.
_DOUBLED = {STEP_TASK, CANCEL_TASK}


def twice(send: Callable[..., Any], count: Callable[[], object], *, after: float) -> Callable[..., Any]:
    """Wrap what publishes a Celery app's task messages.

    Args:
        send: ``app.amqp.send_task_message``.
        count: called for every second copy.
        after: seconds, one of the engine's delays, that the second copy of a step is held back; 0 for none.
    """

    @wraps(send)
    def wrapper(producer: Any, name: str, message: Any, **options: Any) -> Any:
        copy = deepcopy(message), {**options}
        sent = send(producer, name, message, **options)
        if name in _DOUBLED:
            body, where = copy
            queue = where.get("queue")
            if after and name == STEP_TASK and queue is not None:
                key = queue if isinstance(queue, str) else queue.name
                where |= {"queue": None, "exchange": topology.delay_exchange(after), "routing_key": key}
            send(producer, name, body, **where)
            count()
        return sent

    return wrapper
