"""Explores all states that actions lead to, breadth first, and judges what it found. Knows nothing of sagas.

A model gives its first state, and for every state what may happen next, each with a label and a kind. A state may be
any hashable value. The first time that an invariant does not hold, the exploration ends with the shortest trace to it.
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Generic, TypeVar

S = TypeVar("S")


class Kind(IntEnum):
    """Who makes an action happen."""

    #: The engine and the passing of time: it will happen, unless something else makes it needless.
    ENGINE = 0
    #: Customers and participants may choose so, or not.
    CHOICE = 1
    #: Something breaks, is lost, doubled or late.
    FAULT = 2
    #: A person decides about an escalation.
    PERSON = 3


Step = tuple[str, Kind, S]


class Violation(AssertionError):
    """A state that must not be, with the shortest way to it."""

    def __init__(self, why: str, trace: Sequence[str]) -> None:
        self.why = why
        self.trace = tuple(trace)
        told = "\n".join(f"{number:3}. {line}" for number, line in enumerate(trace, 1))
        super().__init__(f"{why}, after {len(trace)} actions:\n{told}")


@dataclass
class Explored(Generic[S]):
    """All reachable states, in the order in which they were found, and every action between them.

    Attributes:
        states: the states; a state's number is its position.
        parents: by number, the state from which it was found first; -1 for the first.
        sources: by number of an edge, the state it leaves.
        targets: the state to which it leads.
        kinds: the kind of its action.
        labels: its action, as a position in ``words``.
        words: the labels.
    """

    states: list[S]
    parents: array[int] = field(default_factory=lambda: array("q"))
    found_by: array[int] = field(default_factory=lambda: array("q"))
    sources: array[int] = field(default_factory=lambda: array("q"))
    targets: array[int] = field(default_factory=lambda: array("q"))
    kinds: bytearray = field(default_factory=bytearray)
    labels: array[int] = field(default_factory=lambda: array("q"))
    words: list[str] = field(default_factory=list)

    def edges(self) -> Iterator[tuple[S, str, S]]:
        """Every action: from which state, what, to which state."""
        for source, label, target in zip(self.sources, self.labels, self.targets, strict=True):
            yield self.states[source], self.words[label], self.states[target]

    def trace(self, number: int) -> list[tuple[str, S]]:
        """The shortest way to a state: the actions, each with the state it leads to."""
        found: list[tuple[str, S]] = []
        while self.parents[number] >= 0:
            found.append((self.words[self.found_by[number]], self.states[number]))
            number = self.parents[number]
        return found[::-1]

    def __len__(self) -> int:
        return len(self.states)


def explore(
    first: S,
    successors: Callable[[S], Iterable[Step[S]]],
    broken: Callable[[S], str | None],
    *,
    describe: Callable[[S], str] = str,
    limit: int = 3_000_000,
) -> Explored[S]:
    """Find every state that can be reached.

    Args:
        first: where all begins.
        successors: what may happen in a state, and to what it leads. It may raise ``AssertionError`` or ``ValueError``
            where the model itself cannot go on; that is a violation, too.
        broken: why a state must not be; ``None`` if it may.
        describe: a state in few words, for the trace.
        limit: so many states at most: a model that is not finite is a mistake in the model.

    Raises:
        Violation: some state must not be.
    """
    found: Explored[S] = Explored([first])
    numbers = {first: 0}
    words: dict[str, int] = {}
    found.parents.append(-1)
    found.found_by.append(-1)
    waiting = deque([0])

    def fail(number: int, why: str) -> Violation:
        return Violation(why, [f"{label:58} {describe(state)}" for label, state in found.trace(number)])

    def check(number: int) -> None:
        why = broken(found.states[number])
        if why is not None:
            raise fail(number, why)

    check(0)
    while waiting:
        number = waiting.popleft()
        try:
            steps = list(successors(found.states[number]))
        except Exception as error:
            raise fail(number, f"{type(error).__name__}: {error}") from error
        for label, kind, state in steps:
            word = words.setdefault(label, len(words))
            if word == len(found.words):
                found.words.append(label)
            target = numbers.get(state)
            if target is None:
                target = numbers[state] = len(found.states)
                found.states.append(state)
                found.parents.append(number)
                found.found_by.append(word)
                check(target)
                waiting.append(target)
                if target >= limit:
                    msg = f"more than {limit} states: is the model finite?"
                    raise RuntimeError(msg)
            found.sources.append(number)
            found.targets.append(target)
            found.kinds.append(kind)
            found.labels.append(word)
    return found


def describe_trace(found: Explored[S], number: int, describe: Callable[[S], str] = str) -> list[str]:
    """The shortest way to a state, a line an action."""
    return [f"{label:58} {describe(state)}" for label, state in found.trace(number)]


def _graph(found: Explored[S], kinds: Collection[Kind]) -> list[list[int]]:
    after: list[list[int]] = [[] for _ in found.states]
    for source, target, kind in zip(found.sources, found.targets, found.kinds, strict=True):
        if kind in kinds:
            after[source].append(target)
    return after


def check_rest(found: Explored[S], at_rest: Callable[[S], bool], *, describe: Callable[[S], str] = str) -> None:
    """Every state that is not at rest can be left by the engine alone, without anybody's choice or a fault.

    Raises:
        Violation: the shortest way to a state in which everybody waits for somebody else.
    """
    moving = bytearray(len(found.states))
    for source, target, kind in zip(found.sources, found.targets, found.kinds, strict=True):
        moving[source] |= kind == Kind.ENGINE and source != target
    for number, state in enumerate(found.states):
        if not moving[number] and not at_rest(state):
            raise Violation("nothing happens any more", describe_trace(found, number, describe))


def check_ends(
    found: Explored[S],
    at_rest: Callable[[S], bool],
    kinds: Collection[Kind] = (Kind.ENGINE, Kind.CHOICE),
    *,
    describe: Callable[[S], str] = str,
) -> None:
    """No path goes round for ever by actions of these kinds. With ``check_rest``: every path ends at rest.

    Raises:
        Violation: the shortest way to a state that comes back to itself, with the round.
    """
    after = _graph(found, kinds)
    for component in components(after):
        first = min(component)
        if (len(component) > 1 or first in after[first]) and not all(at_rest(found.states[n]) for n in component):
            told = describe_trace(found, first, describe)
            inside = set(component)
            told += [
                f"round: {found.words[label]:51} {describe(found.states[target])}"
                for source, target, kind, label in zip(
                    found.sources, found.targets, found.kinds, found.labels, strict=True
                )
                if source in inside and target in inside and kind in kinds
            ][:20]
            raise Violation(f"{len(component)} states lead back to themselves", told)


def check_reaches(
    found: Explored[S],
    end: Callable[[S], bool],
    kinds: Collection[Kind],
    *,
    describe: Callable[[S], str] = str,
) -> None:
    """From every state, some path of actions of these kinds leads to an end.

    Raises:
        Violation: the shortest way to a state from which there is none.
    """
    before: list[list[int]] = [[] for _ in found.states]
    for source, target, kind in zip(found.sources, found.targets, found.kinds, strict=True):
        if kind in kinds:
            before[target].append(source)
    waiting = [number for number, state in enumerate(found.states) if end(state)]
    seen = bytearray(len(found.states))
    for number in waiting:
        seen[number] = 1
    while waiting:
        for number in before[waiting.pop()]:
            if not seen[number]:
                seen[number] = 1
                waiting.append(number)
    lost = seen.find(0)
    if lost >= 0:
        raise Violation("no way leads from here to an end", describe_trace(found, lost, describe))


def reached(found: Explored[S], kinds: Collection[Kind]) -> Iterator[S]:
    """The states that actions of these kinds alone lead to from the first."""
    after = _graph(found, kinds)
    seen, waiting = {0}, [0]
    while waiting:
        number = waiting.pop()
        yield found.states[number]
        fresh = set(after[number]) - seen
        seen |= fresh
        waiting += fresh


def components(after: Sequence[Sequence[int]]) -> Iterator[list[int]]:
    """The strongly connected components of a graph (Tarjan's, without recursion)."""
    index = [0] * len(after)
    low = [0] * len(after)
    on_stack = bytearray(len(after))
    stack: list[int] = []
    count = 0
    for root in range(len(after)):
        if index[root]:
            continue
        work = [(root, 0)]
        while work:
            node, position = work.pop()
            if position == 0:
                count += 1
                index[node] = low[node] = count
                stack.append(node)
                on_stack[node] = 1
            for following in range(position, len(after[node])):
                other = after[node][following]
                if not index[other]:
                    work += [(node, following + 1), (other, 0)]
                    break
                if on_stack[other]:
                    low[node] = min(low[node], index[other])
            else:
                if low[node] == index[node]:
                    component = []
                    while True:
                        member = stack.pop()
                        on_stack[member] = 0
                        component.append(member)
                        if member == node:
                            break
                    yield component
                if work:
                    parent = work[-1][0]
                    low[parent] = min(low[parent], low[node])
