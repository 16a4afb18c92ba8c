"""Listeners: functions of the application that take domain events, each event once, in a transaction of its own.

Without a broker, ``manage.py sagas work`` calls them (``sagas.local.listening``). With RabbitMQ each has a queue, and
``manage.py sagas listen`` calls one (``sagas.messaging.consumer``). Either way a listener has its own place in the
events of each run, so one that fails holds up no other listener.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from sagas import limits, runtime
from sagas.definition import registry
from sagas.definition.events import Event, routing_key
from sagas.errors import DefinitionError

ListenerT = TypeVar("ListenerT", bound=Callable[[Event], object])

#: How often an event is given to a listener before it is set aside. It is that of RabbitMQ's queues.
ATTEMPTS = 20


@dataclass(frozen=True, slots=True)
class Listener:
    """A registered function, the name of its place in the events, and which events it takes."""

    name: str
    patterns: tuple[str, ...]
    function: Callable[[Event], object]

    def hears(self, key: str) -> bool:
        """Whether it takes events with this routing key."""
        words = key.split(".")
        return any(_matches(pattern.split("."), words) for pattern in self.patterns)


def on_event(name: str, patterns: Sequence[str]) -> Callable[[ListenerT], ListenerT]:
    """Register a function that takes the domain events of sagas with ``publishes = True``.

    It is called with one ``Event`` at a time, in the order of each run, in a transaction that also records the event as
    taken. If it raises, the transaction is rolled back, and the event comes again, after ever longer waits; the run's
    next events wait for it. After 20 times it is set aside (``manage.py sagas dead``).

    >>> @sagas.on_event("mailer", ["orders.PlaceOrder.PlaceOrderSucceeded"])
    ... def write_letter(event: Event) -> None: ...

    Args:
        name: of the listener; at most 48 characters. Under another name it is another listener.
        patterns: which events, such as ``["orders.PlaceOrder.*"]``: ``*`` is one word, ``#`` any number.

    Raises:
        DefinitionError: the name or a pattern is invalid, or another function has the name.
    """
    called: Any = name
    if not isinstance(called, str) or not re.fullmatch(r"[\w.-]+", called) or len(called) > limits.CONSUMER_NAME:
        msg = f"on_event({name!r}, …): give a name of at most {limits.CONSUMER_NAME} letters, digits, dots and hyphens"
        raise DefinitionError(msg)
    asked: Any = patterns
    if isinstance(asked, str) or not asked or not all(_is_pattern(pattern) for pattern in asked):
        msg = f'on_event({name!r}, {patterns!r}): give a list of patterns, such as ["orders.PlaceOrder.*"]'
        raise DefinitionError(msg)

    def register(function: ListenerT) -> ListenerT:
        known = runtime.declared.listeners.get(name)
        if known is not None and _place(known.function) != _place(function):
            msg = f"on_event({name!r}, …): {_place(known.function)} has this name"
            raise DefinitionError(msg)
        runtime.declared.listeners[name] = Listener(name, tuple(patterns), function)
        return function

    return register


def all_listeners() -> Sequence[Listener]:
    """Everything that this project's code has registered."""
    return tuple(runtime.declared.listeners.values())


def heard_sagas() -> set[str]:
    """The sagas that publish, and to an event of which somebody listens."""
    return {
        definition.name
        for definition in registry.all_definitions()
        if definition.publishes
        and any(
            listener.hears(routing_key(definition.name, event))
            for listener in all_listeners()
            for event in definition.event_names.all()
        )
    }


def _place(function: Callable[..., object]) -> str:
    return f"{getattr(function, '__module__', '?')}.{getattr(function, '__qualname__', repr(function))}"


def _is_pattern(pattern: object) -> bool:
    return isinstance(pattern, str) and bool(re.fullmatch(r"(\w+|\*|#)(\.(\w+|\*|#))*", pattern))


def _matches(pattern: Sequence[str], words: Sequence[str]) -> bool:
    if not pattern:
        return not words
    if pattern[0] == "#":
        return _matches(pattern[1:], words) or (bool(words) and _matches(pattern, words[1:]))
    return bool(words) and pattern[0] in {"*", words[0]} and _matches(pattern[1:], words[1:])
