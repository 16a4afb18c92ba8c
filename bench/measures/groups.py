"""A group buy of 10,000 members that forms, and one that is called off: when all are settled, in which memory.

All members have joined and paid before. Then the campaign is decided, and workers give the decision to its runs, a
cohort a transaction.
"""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from threading import Event, Thread
from uuid import UUID

import psutil
from django.contrib.auth import get_user_model
from django.db.models import QuerySet
from django.utils import timezone

from bench import database
from bench.measures import Options, Say
from bench.preparing import prepare
from bench.results import Curve, Found, Sheet
from bench.workers import order_worker
from bench.workload import Shop, pay, refresh_statistics
from campaigns.models import Campaign, CampaignState
from orders.groups import deciding, joining, staff
from orders.groups.joining import Wish
from sagas.models import Run

MEMBERS = 10_000
_BATCH = 50
#: Seconds: nobody's deadline is over while the members join.
_WITHIN = {"CONFIRM_WITHIN_SECONDS": "3600"}


@dataclass(frozen=True, slots=True)
class Settled:
    """What the settlement of a group has taken.

    Attributes:
        outcome: how it was decided.
        decided: seconds of the transaction that decided it.
        given: seconds from its commit until the last run had ended.
        settled: seconds of the transaction that settled it.
        before: the largest worker process before it, in MiB.
        most: the largest worker process during it, in MiB.
        pace: seconds since the decision, and members whose runs had ended by then.
    """

    outcome: str
    decided: float
    given: float
    settled: float
    before: float
    most: float
    pace: list[tuple[float, float]]


def measure(options: Options, say: Say) -> Found:
    """Measure a group that forms, and one that is called off."""
    prepare()
    members = options.size(MEMBERS, 100)
    shop = Shop()
    users = get_user_model()._default_manager.bulk_create(
        [get_user_model()(username=f"member-{number}") for number in range(members)], batch_size=1000
    )
    found = [_group(shop, [user.pk for user in users], say, forms=forms) for forms in (True, False)]
    rows = [
        [
            one.outcome,
            f"{one.decided * 1000:,.0f} ms",
            f"{one.given:,.1f} s",
            f"{members / one.given:,.0f}/s",
            f"{one.settled * 1000:,.0f} ms",
            f"{one.before:,.0f} → {one.most:,.0f} MiB",
        ]
        for one in found
    ]
    columns = ("", "decision", "until the last run has ended", "members", "settlement", "largest process")
    return Found(
        ratios={},
        figures={"groups": {one.outcome: {"seconds": one.given, "most_mib": one.most} for one in found}},
        sheets=[Sheet(f"Group buys of {members:,} members", columns, rows)],
        curves=[
            Curve(
                "groups",
                f"Group buys of {members:,} members are settled",
                "seconds since the decision",
                "members whose runs have ended",
                {one.outcome: one.pace for one in found},
            )
        ],
    )


def _group(shop: Shop, customers: list[int], say: Say, *, forms: bool) -> Settled:
    members = len(customers)
    campaign = staff.open_campaign(
        by="bench",
        slug=f"bench-{forms}".lower(),
        title="Bench",
        sku=shop.skus[0],
        price_cents=900,
        slot=shop.slots[0],
        minimum=members if forms else members + 1,
        capacity=members + 1,
        quota=members + 1,
        closes_at=timezone.now() + timedelta(hours=1),
    )
    say(f"{members:,} join")
    name = "f" if forms else "s"
    with order_worker(environment=_WITHIN) as roots:
        # While workers hold their places: more than can begin in time are not admitted.
        ids = [
            joining.join(order_no=f"G-{name}-{customer}", wish=Wish(campaign.pk, customer, 1)) for customer in customers
        ]
        # All but one: it does not form before they wait for it.
        for begin in range(0, members - 1, _BATCH):
            pay(ids[begin : min(begin + _BATCH, members - 1)])
        database.until(lambda: not _are_there(ids, "PENDING", "EXECUTING"), pause=0.25)
        refresh_statistics()
        say("the group forms" if forms else "the group is called off")
        pay(ids[-1:])
        before = _largest(roots)
        with _Memory(roots) as memory:
            began = time.monotonic()
            if forms:
                deciding.decide(campaign_id=campaign.pk)
            else:
                staff.call_off(campaign_id=campaign.pk, by="bench", reason="bench")
            decided = time.monotonic()
            pace = [(0.0, 0.0)]

            def have_ended() -> bool:
                left = _range(ids).filter(state__in=["AWAITING_CONFIRM", "CONFIRMING", "COMPENSATING"]).count()
                pace.append((time.monotonic() - decided, float(members - left)))
                return not left

            database.until(have_ended, pause=0.1)
            ended = time.monotonic()
        if forms:
            staff.close_now(campaign_id=campaign.pk, by="bench", reason="bench")
        return _check(
            campaign, members, forms=forms, times=(began, decided, ended), memory=(before, memory.most), pace=pace
        )


def _check(
    campaign: Campaign,
    members: int,
    *,
    forms: bool,
    times: tuple[float, float, float],
    memory: tuple[float, float],
    pace: list[tuple[float, float]],
) -> Settled:
    """Settle it, unless a worker has, and check that everything adds up."""
    began = time.monotonic()
    deciding.settle(campaign_id=campaign.pk)
    settled = time.monotonic() - began
    campaign.refresh_from_db()
    sold = (campaign.places.sold, campaign.cups.sold)
    outcome = CampaignState.FORMED if forms else CampaignState.CALLED_OFF
    if (campaign.state, campaign.outcome, *sold) != ("SETTLED", outcome, *(members if forms else 0,) * 2):
        msg = f"the group is {campaign.state}, {campaign.outcome}, and has sold {sold}"
        raise RuntimeError(msg)
    began, decided, ended = times
    return Settled(campaign.outcome, decided - began, ended - decided, settled, *memory, pace)


def _are_there(ids: list[UUID], *states: str) -> bool:
    """Whether any run of a group is in one of these states."""
    return _range(ids).filter(state__in=states).exists()


def _range(ids: list[UUID]) -> QuerySet[Run]:
    """The runs of a group, whose ids are a range."""
    return Run.objects.filter(pk__gte=ids[0], pk__lte=ids[-1])


def _largest(roots: list[int]) -> float:
    """The resident memory of the largest of the workers' processes, in MiB."""
    sizes = [0.0]
    for root in roots:
        with suppress(psutil.NoSuchProcess):
            for process in (parent := psutil.Process(root), *parent.children(recursive=True)):
                with suppress(psutil.NoSuchProcess):
                    sizes.append(process.memory_info().rss / 2**20)
    return max(sizes)


class _Memory:
    """Watches how large the workers' processes become."""

    def __init__(self, roots: list[int]) -> None:
        self.most = 0.0
        self._roots = roots
        self._over = Event()
        self._thread = Thread(target=self._watch, daemon=True)

    def __enter__(self) -> _Memory:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(0.1):
            self.most = max(self.most, _largest(self._roots))
