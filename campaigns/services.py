"""Writes: open, change, close, call off, decide and settle a campaign. What touches other domains is in ``orders``.

Whoever changes a campaign locks it first, then its pools (places before cups), then members by id. No transaction locks
a campaign and a run: the decision is for runs a row to read, and memberships are written in the transactions of runs.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import connection, transaction
from django.db.models import Exists, F, OuterRef, Q
from django.db.models.functions import Now

from campaigns.errors import (
    AlreadyFormed,
    CampaignNotFound,
    Frozen,
    InvalidTerms,
    NotOpen,
    ReasonMissing,
)
from campaigns.models import (
    DECIDED,
    LIVE,
    Campaign,
    CampaignState,
    Change,
    ChangeKind,
    Member,
    MemberState,
    Places,
    Quota,
)
from campaigns.participants import PAYMENT
from sagas import State
from sagas.models import Confirmation, Run

#: What is frozen from the first join on. Capacity and quota may still be raised.
TERMS: Final = (
    "sku",
    "price_cents",
    "slot",
    "minimum",
    "most_cups",
    "presale",
    "takes_coupons",
    "closes_at",
    "payment_window",
)
#: What may be raised, with a reason, also after that.
RAISABLE: Final = ("capacity", "quota")
#: How much longer than its payment window a campaign waits for members who joined in time and may still pay: a run
#: counts its time from when it began, which is later under load.
PATIENCE: Final = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class Changed:
    """What a change asks of the stock.

    Attributes:
        sku: code of the drink.
        cups: cups that are set aside in addition; negative if some are given back.
    """

    sku: str
    cups: int


@dataclass(frozen=True, slots=True)
class Settlement:
    """What is left of a campaign.

    Attributes:
        sku: code of the drink.
        unsold: cups that were set aside and not sold.
        presale: whether they did not come out of the stock.
    """

    sku: str
    unsold: int
    presale: bool


def open_campaign(*, by: str, **terms: Any) -> Campaign:
    """Open a campaign, with its pools of places and of cups. Taking the cups out of the stock is the caller's.

    Args:
        by: who opens it.
        terms: the fields of ``Campaign``.

    Raises:
        InvalidTerms: what is offered contradicts itself, or is over already.
    """
    campaign = Campaign(**terms)
    with transaction.atomic():
        _check(campaign)
        campaign.save(force_insert=True)
        Places.objects.create(campaign=campaign, available=campaign.capacity, closes_at=campaign.closes_at)
        Quota.objects.create(campaign=campaign, available=campaign.quota)
        _record(campaign, ChangeKind.OPENED, by=by)
    return campaign


def change(*, campaign_id: int, by: str, reason: str = "", **changes: Any) -> Changed:
    """Change what a campaign offers, before the first join; or raise its capacity and quota, with a reason, any time.

    Raises:
        Frozen: a customer has joined, and this is no raise.
        NotOpen: the campaign is over.
        ReasonMissing: a raise after the first join has no reason.
        InvalidTerms: what would be offered contradicts itself.
        CampaignNotFound: there is no such campaign.
    """
    with transaction.atomic():
        campaign = _lock(campaign_id, {CampaignState.OPEN, CampaignState.FORMED})
        before = {name: getattr(campaign, name) for name in changes}
        places = Places.objects.select_for_update(no_key=True).get(pk=campaign_id)
        cups = Quota.objects.select_for_update(no_key=True).get(pk=campaign_id)
        is_raise = not any(name in TERMS and before[name] != changes[name] for name in changes) and all(
            changes[name] >= before[name] for name in RAISABLE if name in changes
        )
        has_joined = _has_joined(campaign_id, places)
        if has_joined and not is_raise:
            msg = "a customer has joined: capacity and quota may be raised, and nothing else changes"
            raise Frozen(msg)
        if has_joined and changes.keys() & set(RAISABLE) and not reason.strip():
            raise ReasonMissing("say why it is raised")
        for name, value in changes.items():
            setattr(campaign, name, value)
        _check(campaign)
        campaign.save(update_fields=list(changes))
        more = campaign.quota - before.get("quota", campaign.quota)
        Quota.objects.filter(pk=cups.pk).update(available=F("available") + more)
        Places.objects.filter(pk=places.pk).update(
            available=F("available") + campaign.capacity - before.get("capacity", campaign.capacity),
            closes_at=_ends_at(campaign),
        )
        kind = ChangeKind.RAISED if has_joined else ChangeKind.TERMS
        told = {name: str(value) for name, value in changes.items()}
        _record(campaign, kind, by=by, reason=reason, data=told)
        return Changed(campaign.sku, more)


def close_now(*, campaign_id: int, by: str, reason: str) -> None:
    """End the joins of a campaign now. It is decided when the payment window is over.

    Raises:
        NotOpen: it takes no joins any more.
        ReasonMissing: no reason was given.
        CampaignNotFound: there is no such campaign.
    """
    _check_reason(reason)
    with transaction.atomic():
        campaign = _lock(campaign_id, {CampaignState.OPEN, CampaignState.FORMED})
        now = _now()
        if now >= _ends_at(campaign):
            raise NotOpen("its time is over")
        campaign.closed_at = now
        campaign.save(update_fields=["closed_at"])
        Places.objects.filter(pk=campaign_id).update(closes_at=now)
        _record(campaign, ChangeKind.CLOSED, by=by, reason=reason)


def call_off(*, campaign_id: int, by: str, reason: str) -> Campaign:
    """Call off an open campaign. The caller declines its members' runs in the same transaction.

    Raises:
        NotOpen: it is decided.
        ReasonMissing: no reason was given.
        CampaignNotFound: there is no such campaign.
    """
    _check_reason(reason)
    with transaction.atomic():
        campaign = _lock(campaign_id, {CampaignState.OPEN})
        _decide(campaign, CampaignState.CALLED_OFF, _now())
        _record(campaign, ChangeKind.CALLED_OFF, by=by, reason=reason)
        return campaign


def mark_paid(*, run_id: UUID) -> int | None:
    """Write in the payment's own transaction that a member has paid. Its run is locked.

    Returns:
        The campaign's id; ``None`` if the run is of no member yet, which the joining step looks up then.
    """
    Member.objects.filter(run_id=run_id, state=MemberState.JOINED).update(state=MemberState.PAID, paid_at=Now())
    return Member.objects.filter(run_id=run_id).values_list("campaign_id", flat=True).first()


def leave(*, campaign_id: int, run_id: UUID) -> None:
    """End a customer's membership, in the transaction that cancels the run, and behind its lock.

    The decision of a campaign locks the members whom it counts. So either it comes first, and nobody leaves any more;
    or the customer has left, and is not counted.

    Raises:
        AlreadyFormed: the campaign has formed.
    """
    mine = Member.objects.filter(run_id=run_id)
    if not mine.filter(state__in=LIVE).update(state=MemberState.LEFT, left_at=Now()) and mine.exists():
        # The customer has left before; this is a repeat.
        return
    # Behind the member's lock, and by a statement of its own: what was decided meanwhile is committed.
    outcome = Campaign.objects.filter(pk=campaign_id).values_list("outcome", flat=True).first()
    if outcome == CampaignState.FORMED:
        raise AlreadyFormed("the group has formed: nobody leaves it any more")


def weigh(*, campaign_id: int) -> CampaignState | None:
    """Decide an open campaign, if enough have paid or its time is over. The caller tells the runs, in this transaction.

    Returns:
        FORMED or SHORT; ``None`` if it is not to be decided now, or was decided before.

    Raises:
        CampaignNotFound: there is no such campaign.
    """
    campaign = _find_locked(campaign_id)
    if campaign.state != CampaignState.OPEN:
        return None
    _note_paid(campaign_id)
    if _have_enough_paid(campaign):
        _decide(campaign, CampaignState.FORMED, _now())
        return CampaignState.FORMED
    # After the count: who paid while it was waited for the lock is counted.
    now, ends_at = _now(), _ends_at(campaign) + campaign.payment_window
    if now < ends_at or (now < ends_at + PATIENCE and _may_form_yet(campaign)):
        return None
    _decide(campaign, CampaignState.SHORT, now)
    return CampaignState.SHORT


def settle(*, campaign_id: int) -> Settlement | None:
    """Settle a decided campaign of which nothing is held any more. The caller gives the stock what was not sold.

    Returns:
        What was not sold; ``None`` if it is not to be settled now, or was settled before.

    Raises:
        CampaignNotFound: there is no such campaign.
    """
    campaign = _find_locked(campaign_id)
    if campaign.state not in DECIDED:
        return None
    places = Places.objects.select_for_update(no_key=True).get(pk=campaign_id)
    cups = Quota.objects.select_for_update(no_key=True).get(pk=campaign_id)
    # Behind the lock: no place can be held any more once the time is over.
    if _now() < places.closes_at or places.held or cups.held:
        return None
    campaign.state = CampaignState.SETTLED
    campaign.settled_at = _now()
    campaign.save(update_fields=["state", "settled_at"])
    Quota.objects.filter(pk=campaign_id).update(available=0)
    return Settlement(campaign.sku, cups.available, campaign.presale)


def _lock(campaign_id: int, states: set[CampaignState]) -> Campaign:
    campaign = _find_locked(campaign_id)
    if campaign.state not in states:
        raise NotOpen(f"it is {campaign.state}")
    return campaign


def _find_locked(campaign_id: int) -> Campaign:
    campaign = Campaign.objects.select_for_update(no_key=True).filter(pk=campaign_id).first()
    if campaign is None:
        raise CampaignNotFound(f"there is no campaign {campaign_id}")
    return campaign


def _now() -> datetime:
    """The database's time, behind whatever is locked."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        return cursor.fetchone()[0]  # type: ignore[no-any-return]  # of the one column


def _ends_at(campaign: Campaign) -> datetime:
    """When the last customer may join."""
    return campaign.closed_at or campaign.closes_at


def _has_joined(campaign_id: int, places: Places) -> bool:
    """Whether somebody has joined, or is about to; the places are locked."""
    return bool(places.held or places.sold) or Member.objects.filter(campaign_id=campaign_id).exists()


def _note_paid(campaign_id: int) -> None:
    """Write who has paid, where the payment has not written it: it came by another way than the webhook."""
    paid = Confirmation.objects.filter(run_id=OuterRef("run_id"), name=PAYMENT)
    joined = Member.objects.filter(Exists(paid), campaign_id=campaign_id, state=MemberState.JOINED)
    if ids := list(joined.select_for_update(no_key=True).order_by("id").values_list("id", flat=True)):
        Member.objects.filter(pk__in=ids, state=MemberState.JOINED).update(state=MemberState.PAID, paid_at=Now())


def _paid(campaign: Campaign) -> Any:
    """The members who have paid, as many as are needed. Whose run is being undone is about to leave."""
    undone = Run.objects.filter(pk=OuterRef("run_id"), state__in=[State.COMPENSATING, State.FAILED])
    paid = Member.objects.filter(~Exists(undone), campaign_id=campaign.pk, state=MemberState.PAID)
    return paid.order_by("id")[: campaign.minimum]


def _have_enough_paid(campaign: Campaign) -> bool:
    if _paid(campaign).count() < campaign.minimum:
        return False
    # Locked, so that none of them leaves before it is committed that the group has formed.
    ids = Member.objects.select_for_update(no_key=True).filter(
        pk__in=list(_paid(campaign).values_list("id", flat=True)), state=MemberState.PAID
    )
    return len(ids.order_by("id").values_list("id")) >= campaign.minimum


def _may_form_yet(campaign: Campaign) -> bool:
    """Whether enough members joined in time who have paid or may still pay."""
    undecided = Run.objects.filter(pk=OuterRef("run_id"), state__in=[State.EXECUTING, State.AWAITING_CONFIRM])
    live = Member.objects.filter(Exists(undecided), campaign_id=campaign.pk, state__in=LIVE)
    places = Places.objects.get(pk=campaign.pk)
    # A run that holds a place and is no member yet will be one in a moment.
    return max(live.count(), places.held) >= campaign.minimum


def _decide(campaign: Campaign, outcome: CampaignState, now: datetime) -> None:
    campaign.state, campaign.outcome, campaign.decided_at = outcome, outcome, now
    campaign.save(update_fields=["state", "outcome", "decided_at"])
    if outcome is not CampaignState.FORMED:
        # What comes later is refused at once, and not only undone.
        Places.objects.filter(Q(pk=campaign.pk) & Q(closes_at__gt=now)).update(closes_at=now)


def _check(campaign: Campaign) -> None:
    try:
        campaign.full_clean()
    except ValidationError as error:
        raise InvalidTerms(" ".join(error.messages)) from error
    if campaign.closes_at <= _now():
        raise InvalidTerms("It closes before it opens.")


def _check_reason(reason: str) -> None:
    if not reason.strip():
        raise ReasonMissing("say why")


def _record(
    campaign: Campaign, kind: ChangeKind, *, by: str, reason: str = "", data: dict[str, Any] | None = None
) -> None:
    Change.objects.create(campaign=campaign, kind=kind, by=by, reason=reason, data=data or {})
