"""Three times the orders that can be worked off, for two minutes: what becomes of those that are accepted.

Each is paid at once, at a web of its own. Meanwhile it is looked every second at what might grow without bound.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass

import psutil
from django.conf import settings
from django.db import connection

from bench.lifecycles import ORDINARY
from bench.measures import Options, Say
from bench.preparing import prepare
from bench.results import Curve, Found, Sheet, percentile
from bench.web import OpenShop, TooLate, customers, open_shop
from bench.workload import Shop
from sagas.messaging.app import app

#: How many times the rate that is held.
TIMES = 3
#: Orders a second: where the search for that rate begins, and by what it is multiplied.
_FIRST, _FACTOR = 15.0, 1.3
#: Seconds of a point of the plots.
_BIN = 10.0
#: Milliseconds to SUCCEEDED, of 99 in 100 orders, up to which a rate is held.
_LIMIT = 2000.0


@dataclass(frozen=True, slots=True)
class Sample:
    """What there was at one moment.

    Attributes:
        live: runs that have not ended.
        outbox: events that are not published.
        messages: in the step queues.
        sessions: of the database.
        threads: of web and workers.
        memory: of web and workers, resident, in MiB.
    """

    live: int
    outbox: int
    messages: int
    sessions: int
    threads: int
    memory: float


def measure(options: Options, say: Say) -> Found:
    """Find the rate that is held, send three times as many, and look at what became of them."""
    prepare()
    shop, tokens = Shop(), customers()
    seconds = options.size(120, 10)
    with open_shop(shop, tokens, ORDINARY.environment, apart=True) as opened:
        say("warming up")
        opened.hold(40, options.size(8, 3))
        capacity = _capacity(opened, options.size(10, 3), say)
        opened.settle()
        rate = TIMES * capacity
        say(f"{rate:.0f} a second for {seconds} s: {TIMES} times {capacity:.0f}")
        samples: list[Sample] = []
        seen = opened.send(rate, seconds, look=lambda: samples.append(_sample(opened.roots)))
        say("the last ones")
        ended = opened.await_ends(list(seen["due"]))
    return _found(rate, seconds, seen, ended, samples)


def _capacity(opened: OpenShop, seconds: float, say: Say) -> float:
    """The highest rate of a short look at which no order falls behind, or nearly; on a busy machine a low one."""
    rate = _FIRST
    while rate > 1.0 and not _is_held(opened, rate, seconds):
        opened.settle()
        rate /= 2
    if rate < _FIRST:
        return rate
    while _is_held(opened, rate * _FACTOR, seconds):
        rate *= _FACTOR
        say(f"{rate:.0f} a second are held")
    return rate


def _is_held(opened: OpenShop, rate: float, seconds: float) -> bool:
    try:
        return opened.hold(rate, seconds, late=6.0).within(_LIMIT)
    except TooLate:
        return False


def _found(
    rate: float, seconds: float, seen: Mapping[str, object], ended: Mapping[str, float], samples: Sequence[Sample]
) -> Found:
    due: Mapping[str, float] = seen["due"]  # type: ignore[assignment]  # as bench.client writes it
    placed: Sequence[float] = seen["placed"]  # type: ignore[assignment]
    paid: Sequence[float] = seen["paid"]  # type: ignore[assignment]
    refused: Mapping[str, int] = seen["refused"]  # type: ignore[assignment]
    begin = min(due.values(), default=0.0)
    lost = sum(many for what, many in refused.items() if what.startswith("payment")) + len(due) - len(paid)
    doomed = len(due) - len(ended)
    answers: defaultdict[float, list[float]] = defaultdict(list)
    whole: defaultdict[float, list[float]] = defaultdict(list)
    for (order_no, at), answer in zip(due.items(), placed, strict=True):
        place = (at - begin) // _BIN * _BIN + _BIN
        answers[place].append(answer / 1000)
        if order_no in ended:
            whole[place].append(ended[order_no] - at)
    took = [(at - begin, ended[order_no] - at) for order_no, at in due.items() if order_no in ended]
    halves = [[took_s for at, took_s in took if (at > seconds / 2) is late] for late in (False, True)]
    first, second = (percentile(half, 99) if len(half) > 1 else 0.0 for half in halves)
    most = {name: max((asdict(sample)[name] for sample in samples), default=0) for name in Sample.__slots__}
    found = Found()
    found.ratios = {
        "overload_doomed": float(doomed),
        "overload_payments_lost": float(lost),
        "overload_p99_second_half_vs_first": second / first if first else 0.0,
    }
    found.figures = {
        "rate": rate,
        "accepted": len(due),
        "succeeded": len(ended),
        "refused": dict(refused),
        "p99_s": {"first half": first, "second half": second},
        "paid_ms": {f"p{percent}": percentile(paid, percent) for percent in (50, 99)} if len(paid) > 1 else {},
        "most": most,
        "samples": [asdict(sample) for sample in samples],
    }
    found.sheets = [
        Sheet(
            f"{rate:.0f} orders a second for {seconds:g} s, {TIMES} times what is held",
            ("", "orders"),
            [
                ["sent", f"{int(rate * seconds):,}"],
                ["accepted", f"{len(due):,}"],
                ["of them SUCCEEDED", f"{len(ended):,}"],
                *([what, f"{many:,}"] for what, many in sorted(refused.items())),
            ],
        ),
        Sheet(
            "Seconds of accepted orders and of payments, and the most that there was of what might grow",
            ("", "figure"),
            [
                ["to SUCCEEDED, p99, first half", f"{first:.1f}"],
                ["to SUCCEEDED, p99, second half", f"{second:.1f}"],
                ["a payment's answer, p99", f"{percentile(paid, 99) / 1000 if len(paid) > 1 else 0:.2f}"],
                *([name, f"{value:,.0f}"] for name, value in most.items()),
            ],
        ),
    ]
    found.curves = [
        Curve(
            "overload",
            "Accepted orders under three times the load",
            "seconds",
            "seconds an order took",
            {
                "to SUCCEEDED, p50": _points(whole, 50),
                "to SUCCEEDED, p99": _points(whole, 99),
                "accepted, p99": _points(answers, 99),
            },
        ),
        Curve(
            "overload_sizes",
            "What there was meanwhile",
            "seconds",
            "runs, messages",
            {
                name: [(float(number), float(asdict(samples[number])[name])) for number in range(0, len(samples), 10)]
                for name in ("live", "messages", "threads")
            },
        ),
    ]
    return found


def _points(bins: Mapping[float, Sequence[float]], percent: int) -> list[tuple[float, float]]:
    return [(at, percentile(values, percent)) for at, values in sorted(bins.items()) if len(values) > 1]


def _sample(roots: Sequence[int]) -> Sample:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT (SELECT count(*) FROM sagas_run WHERE due_at IS NOT NULL), (SELECT count(*) FROM sagas_outbox), "
            "(SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend')"
        )
        live, outbox, sessions = cursor.fetchone()
    threads, memory = 0, 0.0
    for root in roots:
        with suppress(psutil.NoSuchProcess):
            for process in (parent := psutil.Process(root), *parent.children(recursive=True)):
                with suppress(psutil.NoSuchProcess):
                    threads += process.num_threads()
                    memory += process.memory_info().rss / 2**20
    return Sample(live, outbox, _messages(), sessions, threads, memory)


def _messages() -> int:
    with app.connection_for_read() as broker:
        channel = broker.default_channel
        queues = [*settings.SAGAS["QUEUES"], "sagas.dispatch", "sagas.cancel"]
        return sum(channel.queue_declare(queue, passive=True).message_count for queue in queues)
