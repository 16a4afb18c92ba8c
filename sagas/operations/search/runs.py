"""Runs by a line, as a query that an index bounds.

What no index finds is looked for among the newest runs only, and the answer says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from operator import or_
from uuid import UUID

from django.db.models import Q, QuerySet, Subquery, TextField, Value
from django.db.models.functions import Cast, Coalesce, Now

from sagas import store
from sagas.decisions import plan
from sagas.errors import UnknownSaga
from sagas.models import Escalation, Run
from sagas.operations.search.line import Term, parse
from sagas.states import LIVE, State

#: Runs that are looked at, from the newest on, for what no index finds.
LATEST = 100_000
_ORDERS = {">": "gt", "<": "lt", "": "exact"}
#: Of these runs an index finds all.
_FEW = frozenset({*LIVE, State.ESCALATED, State.FAILED})


@dataclass(frozen=True, slots=True)
class Found:
    """The runs of a line.

    Attributes:
        runs: in no order.
        bounded: whether only the newest `LATEST` were looked at.
    """

    runs: QuerySet[Run]
    bounded: bool


def find(line: str, runs: QuerySet[Run] | None = None) -> Found:
    """The runs that a line describes.

    Args:
        line: see `sagas.operations.search.line`.
        runs: among these only; all of them by default.

    Raises:
        BadLine: the line cannot be read.
    """
    terms = parse(line)
    found = Run.objects.all() if runs is None else runs
    words = [term.value for term in terms if not term.name]
    if words:
        found = found.filter(Q(business_key__in=words) | Q(id__in=filter(None, map(_uuid, words))))
    for term in terms:
        if term.name:
            found = found.filter(_condition(term))
    is_few = words or any(term.name == "key" or (term.name == "state" and term.value in _FEW) for term in terms)
    if terms and not is_few and not any(term.name == "step" for term in terms):
        return Found(found.filter(_newest()), bounded=True)
    # What a run is undone for has no index.
    return Found(found, bounded=any(term.name == "error" for term in terms))


def _newest() -> Q:
    oldest = Run.objects.order_by("-id").values("id")[LATEST : LATEST + 1]
    return Q(id__gt=Coalesce(Subquery(oldest), Value(UUID(int=0))))


def _condition(term: Term) -> Q:
    order = _ORDERS[term.order]
    match term.name:
        case "state":
            return _of_state(term.value)
        case "step":
            return _at_step(term.value)
        case "key":
            return Q(business_key=term.value)
        case "trace":
            return Q(trace_id=term.value)
        case "error":
            return _with_error(term.value)
        case "attempts":
            return Q(**{f"attempt__{order}": term.value})
        case "age":
            # Older than a length of time is begun before.
            turned = {"gt": "lt", "lt": "gt", "exact": "lte"}[order]
            return Q(**{f"created_at__{turned}": Now() - term.value})
        case "started":
            return Q(**{f"created_at__{'gte' if order == 'exact' else order}": term.value})
    return Q(**{term.name: term.value})


def _of_state(state: State) -> Q:
    """The second condition follows from the first; PostgreSQL needs it to use the index."""
    if state in LIVE:
        return Q(state=state, due_at__isnull=False)
    if state is State.ESCALATED:
        return Q(state=state, id__in=Escalation.objects.filter(resolved_at=None).values("run_id"))
    return Q(state=state)


def _at_step(step: str) -> Q:
    """Runs under way whose next operation is of the step, and those that a person is called to because of it."""
    places = [
        Q(
            saga=one.saga,
            version=one.version,
            shape=one.shape,
            state=one.state,
            cursor=one.cursor,
            fork=one.fork,
            due_at__isnull=False,
        )
        for one in store.overview.standings()
        if step in _steps_at(one)
    ]
    called = Escalation.objects.filter(resolved_at=None, step=step).values("run_id")
    # Each part by its index: of an OR of both, PostgreSQL would read the table.
    live = Run.objects.filter(reduce(or_, places)).values("id") if places else Run.objects.none().values("id")
    return Q(id__in=live.union(called))


def _steps_at(one: store.overview.Standing) -> set[str]:
    try:
        definition = store.definitions.find(one.saga, one.version, one.shape)
    except UnknownSaga:
        return set()
    chains = plan.next_chains(definition, plan.Place(State(one.state), one.cursor, one.fork))
    return {links[0].step for links in chains}


def _with_error(text: str) -> Q:
    """In why a run is undone, or in why a person is called."""
    called = Escalation.objects.annotate(told=Cast("error", TextField())).filter(told__icontains=text)
    undone = Run.objects.annotate(why=Cast("reason", TextField())).filter(_newest(), why__icontains=text)
    return Q(id__in=undone.values("id").union(called.filter(resolved_at=None).values("run_id")))


def _uuid(word: str) -> UUID | None:
    try:
        return UUID(word)
    except ValueError:
        return None
