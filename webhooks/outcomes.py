"""What follows an attempt: an endpoint that has gone gets nothing more."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from django.db.models import Q
from django.db.models.functions import Now

from sagas import Call, Done, Outcome, locking, no_lock_keys, set_based
from webhooks.models import Endpoint
from webhooks.requests import Delivery

_MINUTE = timedelta(minutes=1)
GONE = "It has answered 410 Gone."


@locking(no_lock_keys)
@set_based
def note(calls: Sequence[Call[Delivery]]) -> list[Outcome]:
    """Disable the endpoints that have answered 410, and note when the others took something last, to the minute."""
    gone = sorted({call.request.endpoint for call in calls if call.results["send"].get("gone")})
    taken = sorted({call.request.endpoint for call in calls if "status" in call.results["send"]})
    if gone:
        # In one order, as all who lock several.
        list(Endpoint.objects.filter(pk__in=gone).order_by("pk").select_for_update(no_key=True))
        Endpoint.objects.filter(pk__in=gone, disabled_at=None).update(disabled_at=Now(), disabled_reason=GONE)
    if taken:
        stale = Q(delivered_at=None) | Q(delivered_at__lt=Now() - _MINUTE)
        free = Endpoint.objects.filter(stale, pk__in=taken).select_for_update(no_key=True, skip_locked=True)
        Endpoint.objects.filter(pk__in=[one.pk for one in free]).update(delivered_at=Now())
    return [Done() for _ in calls]
