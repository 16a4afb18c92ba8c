"""Why an order is undone, or cups of it were given back, in the reader's language: on pages and in the API's answers.

Reasons are stored in English, with codes for programs. A known code has its sentence here; what a person wrote is
shown as it was written.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext_lazy as _

from delivery.selectors import Stage
from orders.api.protocol.problem_types import is_english
from orders.refunds.participants import REFUNDED
from orders.refunds.services import BY_CUSTOMER
from sagas.selectors import public_reason

#: Sentences for the codes of rejections, and for the other kinds of reasons.
_CODES = {
    "OutOfStock": _("A drink is sold out."),
    "SlotFull": _("The delivery slot is full."),
    "SlotPast": _("The delivery slot takes no more orders."),
    "CouponUnknown": _("The coupon cannot be used."),
    "CouponNotYours": _("The coupon cannot be used."),
    "CouponInactive": _("The coupon cannot be used."),
    "CouponExpired": _("The coupon has expired."),
    "CouponNotYet": _("The coupon cannot be used yet."),
    "CouponUsed": _("The coupon is used already."),
    "CouponSpent": _("Nothing is left of the coupon."),
    "BelowMinimum": _("The order costs less than its coupon asks for."),
    "NotOnGroupPrices": _("The coupon is not for the prices of group buys."),
    "CampaignFull": _("The group buy has no place left."),
    "CampaignClosed": _("The group buy takes no more joins."),
    "CupsGone": _("The group buy has not so many cups left."),
    "AlreadyMember": _("You are a member of this group buy already."),
    "TermsChanged": _("What the group buy offers has changed. Look at it again."),
}
_KINDS = {
    "fault": _("Something broke on our side."),
    "timeout": _("It took too long."),
    "cancelled": _("It was cancelled."),
    "refused": _("It was refused."),
    "resolved": _("Somebody has ended this by hand."),
    "rejected": _("It was not possible."),
}
#: What the shop and the engine write for customers themselves, as it is stored.
_WRITTEN = {
    "cancelled by the customer": _("You have cancelled it."),
    BY_CUSTOMER: _("You have given it back."),
    "The group buy was called off.": _("The group buy was called off."),
    "Too few joined in time: the group did not form.": _("Too few joined in time: the group did not form."),
    "It was cancelled.": _("It was cancelled."),
    "It was refused.": _("It was refused."),
    "Somebody has ended this by hand.": _("Somebody has ended this by hand."),
}


def stage_reason(stage: Stage) -> Any:
    """Why it has: a known reason in the reader's language, and a person's as it was written."""
    reason = stage.reason.removeprefix(REFUNDED) if stage.is_refund else stage.reason
    return _WRITTEN.get(reason, reason)


def reason_text(reason: Mapping[str, Any] | None) -> Any:
    """Why an order is undone, in a sentence of the reader's language; "" if there is no reason."""
    if reason is None:
        return ""
    return detail_text(public_reason(reason))


def detail_text(public: Mapping[str, str]) -> Any:
    """The sentence of a public reason. In English it is as it was written, with its numbers."""
    detail = public["detail"]
    if detail in _WRITTEN:
        return _WRITTEN[detail]
    if is_english():
        return detail
    if public["kind"] == "rejected":
        return _CODES.get(public["code"], _KINDS["rejected"])
    # What a person wrote is theirs.
    is_ours = public["kind"] in {"fault", "timeout"}
    return _KINDS.get(public["kind"], detail) if is_ours else detail
