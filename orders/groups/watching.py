"""Watchers of group buys: all watched campaigns are read once a second in one statement, and who must know is woken.

A watcher's answer is deferred (``orders.api.protocol.deferred``): it holds no thread, no connection of the database,
and no transaction. The process has one thread for all that is watched (``sagas.watching``).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Mapping

import campaigns.selectors
from campaigns.models import Campaign, CampaignState
from campaigns.selectors import Standing
from orders.api.protocol.deferred import Watch
from orders.api.protocol.event_streams import EventStreamResponse
from orders.groups import live
from sagas.watching import watch_rows

#: Seconds for which a standing that was read is told. While somebody watches it is read anew each second; who was woken
#: may read it late, when nobody else watches.
TOLD_FOR = 10.0


class Standings:
    """How the watched campaigns of this process stand, as they were last read, and the events that say so."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._read_at = 0.0
        self._found: dict[int, Standing] = {}
        #: The written events of the present standings, by campaign and language.
        self._written: dict[tuple[int, str], tuple[str, bytes]] = {}

    def versions(self, campaign_ids: Collection[int]) -> Mapping[int, str]:
        """Read how these campaigns stand, and forget all others; see ``sagas.watching.Versions``."""
        found = campaigns.selectors.standings(campaign_ids=campaign_ids)
        with self._lock:
            self._read_at, self._found = time.monotonic(), found
            self._written = {key: kept for key, kept in self._written.items() if key[0] in found}
        return {campaign_id: live.version(standing) for campaign_id, standing in found.items()}

    def news(self, campaign_id: int, language: str, seen: str) -> tuple[str, bytes, bool] | None:
        """What has changed: the version, the event, and whether it is the last; ``None`` if nothing is known of it."""
        with self._lock:
            is_recent = time.monotonic() < self._read_at + TOLD_FOR
            standing = self._found.get(campaign_id) if is_recent else None
            kept = self._written.get((campaign_id, language))
        if standing is None or (version := live.version(standing)) == seen:
            return None
        if kept is None or kept[0] != version:
            # Perhaps by several threads at a time, which write the same.
            campaign = Campaign.objects.get(pk=campaign_id)
            kept = version, live.event(campaign, language, standing)
            with self._lock:
                self._written[campaign_id, language] = kept
        return version, kept[1], standing.state == CampaignState.SETTLED


standings = Standings()


class GroupStream(EventStreamResponse):
    """The live part of a group buy's page, whenever it changes, as server-sent events."""

    def __init__(self, campaign_id: int, language: str) -> None:
        super().__init__()
        self._campaign_id = campaign_id
        self._language = language
        self._seen = ""

    def watch_for(self, seconds: float, go_on: Callable[[], None]) -> Watch:
        """See ``EventStreamResponse``."""
        return watch_rows(self._campaign_id, seconds, go_on, versions=_versions, seen=self._seen)

    def news(self) -> tuple[bytes, bool]:
        """See ``EventStreamResponse``."""
        if (found := standings.news(self._campaign_id, self._language, self._seen)) is None:
            return b"", False
        self._seen, said, is_last = found
        return said + (b"event: end\ndata:\n\n" if is_last else b""), is_last


def _versions(campaign_ids: Collection[int]) -> Mapping[int, str]:
    # One function for all streams: so they are asked for together.
    return standings.versions(campaign_ids)
