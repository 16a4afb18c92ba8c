"""Join a campaign: an order at the group's price, by the saga ``JoinCampaign``."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from django.utils.translation import gettext as _

import campaigns.selectors
import coupons.refusals
import coupons.selectors
import sagas
from campaigns.models import Campaign
from coupons.selectors import Discount
from orders import services
from orders.errors import Fault, JoinRefused, NoSuchCampaign, OrderRefused
from orders.requests import GroupRequest, Item
from orders.sagas import JoinCampaign
from orders.services import COUPON_NOT_USABLE, Condition


@dataclass(frozen=True, slots=True)
class Wish:
    """What a customer asks of a campaign.

    Attributes:
        campaign_id: the campaign.
        customer_id: who joins.
        quantity: cups.
        coupon: code of a coupon, if the campaign takes any.
    """

    campaign_id: int
    customer_id: int
    quantity: int
    coupon: str | None = None


def join(*, order_no: str, wish: Wish, address: str | None = None, condition: Condition | None = None) -> UUID:
    """Accept a customer's order in a campaign. What it offers now travels in the request of its run.

    Nothing is held yet. What is plainly too late or taken is refused here; the steps of the run decide it under locks.

    Returns:
        The id of the run.

    Raises:
        NoSuchCampaign: there is no such campaign.
        JoinRefused: it takes no joins, is full, or the customer is a member.
        OrderRefused: the quantity or the coupon does not fit.
        sagas.Overloaded, ConditionFailed, OrderNumberTaken: as ``services.place_order``.
    """
    offer = campaigns.selectors.offer(campaign_id=wish.campaign_id, customer_id=wish.customer_id)
    if offer is None:
        raise NoSuchCampaign
    _check(offer, wish)
    campaign = offer.campaign
    discount = _discount(campaign, wish)
    request = GroupRequest(
        order_no,
        wish.customer_id,
        (Item(campaign.sku, wish.quantity, campaign.price_cents),),
        campaign.slot,
        discount.code if discount else None,
        discount.cents if discount else 0,
        campaign=campaign.pk,
        revision=campaign.revision,
    )
    return services.accept(JoinCampaign, request, address=address, condition=condition, campaign=campaign.pk)


def _check(offer: campaigns.selectors.Offer, wish: Wish) -> None:
    if not offer.is_open:
        raise JoinRefused("campaign-closed", _("The group buy takes no more joins."))
    if offer.is_member:
        raise JoinRefused("already-joined", _("You are a member of this group buy already."))
    if wish.quantity > offer.campaign.most_cups:
        most = offer.campaign.most_cups
        detail = _("A member may order %(most)d cups at most.") % {"most": most}
        raise OrderRefused([Fault("too-many-cups", detail, "/quantity")])
    if offer.places_left < 1 or offer.cups_left < wish.quantity:
        raise JoinRefused("campaign-full", _("The group buy has no place or not so many cups left."))


def _discount(campaign: Campaign, wish: Wish) -> Discount | None:
    if wish.coupon is None:
        return None
    if not campaign.takes_coupons:
        detail = _("This group buy takes no coupons.")
        raise OrderRefused([Fault("campaign-takes-no-coupons", detail, "/coupon")])
    price = wish.quantity * campaign.price_cents
    try:
        return coupons.selectors.discount(
            code=wish.coupon, customer_id=wish.customer_id, price_cents=price, group_price=True
        )
    except coupons.refusals.BelowMinimum as below:
        raise OrderRefused([Fault("coupon-minimum", f"{below.detail}.", "/coupon")]) from None
    except sagas.Rejected:
        detail = _("The coupon cannot be used.")
        raise OrderRefused([Fault(COUPON_NOT_USABLE, detail, "/coupon")]) from None
