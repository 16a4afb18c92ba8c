"""Watchers of group buys: one thread of a process reads all watched campaigns once a second, and wakes who must know.

A watcher's answer is deferred (``orders.api.protocol.deferred``): it holds no thread, no connection of the database,
and no transaction. The thread of the process ends when nobody watches any more.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection

from django.db import Error, close_old_connections, connection, connections
from django.http import HttpResponse

import campaigns.selectors
from campaigns.models import Campaign, CampaignState
from campaigns.selectors import Standing
from orders.api.protocol.deferred import Piece, Watch
from orders.groups import live
from sagas.db import describe_error

logger = logging.getLogger(__name__)

#: What a stream begins with: milliseconds after which a browser asks again.
RETRY = b"retry: 3000\n\n"
#: Seconds between two reads, and between two signs of life; and for which a stream lasts.
EVERY, BEAT_EVERY, LASTS = 1.0, 15.0, 600.0
#: Seconds without a watcher after which the thread ends, and what it knows is forgotten.
LINGERS = 10.0
MEDIA_TYPE = "text/event-stream"


class _Watch:
    """A stream that waits for news of a campaign."""

    __slots__ = ("campaign_id", "go_on", "seen", "until")

    def __init__(self, campaign_id: int, seen: str, until: float, go_on: Callable[[], None]) -> None:
        self.campaign_id = campaign_id
        self.seen = seen
        self.until = until
        self.go_on = go_on

    def cancel(self) -> None:
        """Wait no more."""
        hub.forget(self)


class Hub:
    """All that a process knows of watched campaigns, and the thread that keeps it up to date."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._watches: set[_Watch] = set()
        self._thread: threading.Thread | None = None
        self._standings: dict[int, Standing] = {}
        #: The written events of the present standings, by campaign and language.
        self._written: dict[tuple[int, str], tuple[str, bytes]] = {}

    @property
    def count(self) -> int:
        """How many streams wait."""
        with self._lock:
            return len(self._watches)

    def watch(self, campaign_id: int, *, seen: str, until: float, go_on: Callable[[], None]) -> Watch:
        """Have ``go_on`` called once: when the campaign does not stand as seen, or at ``until`` (``monotonic``)."""
        watched = _Watch(campaign_id, seen, until, go_on)
        with self._lock:
            self._watches.add(watched)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="group-buys", daemon=True)
                self._thread.start()
        return watched

    def forget(self, watched: _Watch) -> None:
        """Serve a watch no more."""
        with self._lock:
            self._watches.discard(watched)

    def news(self, campaign_id: int, language: str, seen: str) -> tuple[str, bytes, bool] | None:
        """What has changed: the version, the event, and whether it is the last; ``None`` if nothing is known of it."""
        with self._lock:
            standing = self._standings.get(campaign_id)
            version = live.version(standing) if standing else seen
            kept = self._written.get((campaign_id, language))
        if standing is None or version == seen:
            return None
        if kept is None or kept[0] != version:
            # Perhaps by several threads at a time, which write the same.
            campaign = Campaign.objects.get(pk=campaign_id)
            kept = version, live.event(campaign, language, standing)
            with self._lock:
                self._written[campaign_id, language] = kept
        return version, kept[1], standing.state == CampaignState.SETTLED

    def _run(self) -> None:
        idle_since: float | None = None
        try:
            while True:
                time.sleep(EVERY)
                with self._lock:
                    watches = list(self._watches)
                    if watches:
                        idle_since = None
                    elif idle_since is None or time.monotonic() < idle_since + LINGERS:
                        # Who was woken may not have read yet what there is to read, and watches again then.
                        idle_since = idle_since or time.monotonic()
                        continue
                    else:
                        self._thread = None
                        self._standings.clear()
                        self._written.clear()
                        return
                try:
                    self._look(watches)
                except Exception:
                    # The thread goes on: nobody would start another one.
                    logger.exception("campaigns: %d watchers were not looked after", len(watches))
        finally:
            connection.close()

    def _look(self, watches: Collection[_Watch]) -> None:
        """Read how the campaigns stand, in one statement, and wake who has not seen it."""
        try:
            found = campaigns.selectors.standings(campaign_ids={watched.campaign_id for watched in watches})
            with self._lock:
                self._standings = found
                self._written = {key: kept for key, kept in self._written.items() if key[0] in found}
        except Exception:
            # Who watches keeps what it has. The session may be lost: the next read has a new one.
            logger.exception("campaigns: how %d watched campaigns stand could not be read", len(watches))
            connection.close()
            found = {}
        now = time.monotonic()
        versions = {campaign_id: live.version(standing) for campaign_id, standing in found.items()}
        for watched in watches:
            if now >= watched.until or versions.get(watched.campaign_id, watched.seen) != watched.seen:
                self.forget(watched)
                try:
                    watched.go_on()
                except Exception:
                    logger.exception("campaigns: a watcher of %s could not go on", watched.campaign_id)


hub = Hub()


class GroupStream(HttpResponse):
    """The live part of a group buy's page, whenever it changes, as server-sent events."""

    is_deferred = True

    def __init__(self, campaign_id: int, language: str) -> None:
        super().__init__(content_type=MEDIA_TYPE, headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        self._campaign_id = campaign_id
        self._language = language
        self._seen = ""
        self._sent_at = time.monotonic()
        self._end = self._sent_at + LASTS
        self._has_begun = False

    def watch(self, go_on: Callable[[], None]) -> Watch:
        """See ``Deferred``."""
        until = min(self._sent_at + BEAT_EVERY, self._end)
        return hub.watch(self._campaign_id, seen=self._seen, until=until, go_on=go_on)

    def resume(self, *, over: bool) -> Piece | None:
        """See ``Deferred``: what has changed since the last time."""
        close_old_connections()
        said, ends = b"", over
        try:
            if (news := hub.news(self._campaign_id, self._language, self._seen)) is not None:
                self._seen, said, is_last = news
                ends = ends or is_last
                said += b"event: end\ndata:\n\n" if is_last else b""
        except Error as error:
            # The browser opens another stream.
            logger.warning("campaigns: a stream ends early: %s", describe_error(error))
            connections.close_all()
            ends = True
        now = time.monotonic()
        ends = ends or now >= self._end
        if not self._has_begun:
            self._has_begun = True
            said = RETRY + said
        elif not said and now >= self._sent_at + BEAT_EVERY:
            said = b": \n\n"
        if not said and not ends:
            return None
        self._sent_at = now
        headers = [(name, value) for name, value in self.items() if name.lower() != "content-length"]
        return Piece(said, ends=ends, headers=headers)
