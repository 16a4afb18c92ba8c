"""Send text to people through apprise: DingTalk, Slack, mail and other services that it knows.

The URLs of the channels have secrets in them. Apprise logs a URL that it cannot read, and urllib3 logs paths, in
which chat services put their tokens. While a text is sent, nothing of that reaches any log.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from apprise import Apprise

logger = logging.getLogger(__name__)

#: Seconds that one channel may take in all.
PATIENCE = 20

#: Loggers that log URLs, or parts of URLs.
_TALKATIVE = (
    "apprise",
    "oauthlib",
    "requests_oauthlib.oauth1_auth",
    "urllib3.connection",
    "urllib3.connectionpool",
    "urllib3.poolmanager",
    "urllib3.util.retry",
)
#: A context variable, because it is copied to the threads in which apprise sends.
_sending: ContextVar[bool] = ContextVar("sagas_sending", default=False)


class AppriseMissing(Exception):
    """The package ``apprise`` is not installed."""


def _is_not_sending(_: logging.LogRecord) -> bool:
    return not _sending.get()


@contextmanager
def _silenced_loggers() -> Iterator[None]:
    """Drop all records of the loggers that log URLs, at any level, inside this block."""
    for name in _TALKATIVE:
        # Adding a filter again does nothing. Each logger needs it: a filter does not see the records of child loggers.
        logging.getLogger(name).addFilter(_is_not_sending)
    token = _sending.set(True)
    try:
        with warnings.catch_warnings():
            # One of apprise's 180 plugins imports a module that Python will drop.
            warnings.filterwarnings("ignore", "'imghdr' is deprecated", DeprecationWarning)
            yield
    finally:
        _sending.reset(token)


def _channel(url: str) -> Apprise | None:
    """Read a URL; ``None`` if apprise cannot."""
    try:
        # Imported here, because the import takes half a second, and few processes have channels.
        from apprise import Apprise  # noqa: PLC0415
    except ImportError as error:
        raise AppriseMissing from error
    channel = Apprise()
    return channel if channel.add(url) else None


def unreadable_urls(urls: Sequence[str]) -> list[int]:
    """Positions of the URLs that apprise cannot read, from 0.

    Raises:
        AppriseMissing: the package is not installed.
    """
    with _silenced_loggers():
        return [position for position, url in enumerate(urls) if _channel(url) is None]


def send_text(urls: Sequence[str], *, title: str, body: str) -> int:
    """Send a text to every channel; return how many took it. Channels that did not are logged by their position.

    Raises:
        AppriseMissing: the package is not installed.
    """
    taken = 0
    for position, url in enumerate(urls):
        if _send_one(url, title, body):
            taken += 1
        else:
            logger.error("sagas: SAGAS['ESCALATION_URLS'][%d] (%s) took no notice", position, url.partition(":")[0])
    return taken


def _send_one(url: str, title: str, body: str) -> bool:
    with _silenced_loggers():
        try:
            channel = _channel(url)
            return channel is not None and bool(channel.notify(body, title=title, timeout=PATIENCE))
        except AppriseMissing:
            raise
        except Exception:  # noqa: BLE001, RUF100 - a plugin may raise anything, with the URL in its text
            return False
