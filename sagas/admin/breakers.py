"""The page of breakers: which participants keep failing, and when the next probe is let through."""

from __future__ import annotations

from django.contrib import admin
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from sagas.admin import present
from sagas.admin.readonly import LookOnly
from sagas.admin.waits import next_probe
from sagas.models import Breaker


@admin.register(Breaker)
class BreakerAdmin(LookOnly[Breaker]):
    """Lists breakers. An open breaker closes automatically once a probe has succeeded."""

    list_display = ["participant", "standing", "failures", "opened", "next_probe", "closed"]
    list_display_links = None
    ordering = ["-opened_at"]
    sortable_by = ["opened"]

    @admin.display(description=_("Standing"))
    def standing(self, breaker: Breaker) -> SafeString:
        return present.label("closed" if breaker.closed_at else "open")

    @admin.display(description=_("Failed of those retried, at the opening"))
    def failures(self, breaker: Breaker) -> str:
        return gettext("%(failed)d of %(retried)d") % {"failed": breaker.failed, "retried": breaker.retried}

    @admin.display(description=_("Opened"), ordering="opened_at")
    def opened(self, breaker: Breaker) -> str:
        return present.second(breaker.opened_at)

    @admin.display(description=_("Next probe"))
    def next_probe(self, breaker: Breaker) -> str:
        return present.NONE if breaker.closed_at else next_probe(breaker)

    @admin.display(description=_("Closed"))
    def closed(self, breaker: Breaker) -> str:
        return present.second(breaker.closed_at)
