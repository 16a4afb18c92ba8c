"""Content negotiation: JSON only. Requests that refuse JSON, or send something else, are refused."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from rest_framework.exceptions import NotAcceptable, UnsupportedMediaType
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.parsers import BaseParser
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request

#: A member of Accept (RFC 9110, 12.5.1), or a Content-Type: a media type or range, and its parameters.
_MEDIA = re.compile(r"\s*([\w.+!#$&^*-]+)/([\w.+!#$&^*-]+)\s*(?:;(.*))?", re.ASCII | re.DOTALL)
_WEIGHT = re.compile(r"(?:0(?:\.\d{0,3})?|1(?:\.0{0,3})?)", re.ASCII)


class Negotiation(DefaultContentNegotiation):
    """Evaluate ``Accept`` by RFC 9110, with ``q=0``, and parse a body by its ``Content-Type``."""

    def select_parser(self, request: Request, parsers: Iterable[BaseParser]) -> BaseParser | None:
        """Return the parser of exactly this media type: ``*/*`` is a range, not a type."""
        found = _MEDIA.fullmatch(request.content_type or "")
        if found is None:
            return None
        named = f"{found[1]}/{found[2]}".lower()
        parameters = dict(_parameters(found[3] or ""))
        if parameters.get("charset", "utf-8").lower() not in {"utf-8", "utf8", "us-ascii"}:
            raise UnsupportedMediaType(request.content_type)
        return next((parser for parser in parsers if parser.media_type == named), None)

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        """Return the renderer with the highest quality; the first one of several."""
        offered = list(renderers)
        # Where there is a choice, as for the schema, the URL may make it.
        chosen = format_suffix or (request.query_params.get("format") if len(offered) > 1 else None)
        if chosen:
            offered = list(self.filter_renderers(offered, chosen))
        ranges = list(_ranges(request.headers.get("Accept", ""))) or [("*", "*", 1.0)]
        weighed = [(_quality(str(renderer.media_type), ranges), renderer) for renderer in offered]
        quality, renderer = max(weighed, key=lambda pair: pair[0])
        if not quality and not chosen:
            raise NotAcceptable(available_renderers=offered)
        return renderer, str(renderer.media_type)


def _ranges(accept: str) -> Iterator[tuple[str, str, float]]:
    """Read ``Accept``: type, subtype and quality of each member. An unreadable member accepts nothing."""
    for member in accept.split(","):
        if not member.strip():
            continue
        found = _MEDIA.fullmatch(member)
        weight = dict(_parameters(found[3] or "")).get("q", "1") if found else "0"
        if found and _WEIGHT.fullmatch(weight):
            yield found[1].lower(), found[2].lower(), float(weight)
        else:
            yield "", "", 0.0


def _parameters(text: str) -> Iterator[tuple[str, str]]:
    for parameter in text.split(";"):
        name, _, value = parameter.partition("=")
        yield name.strip().lower(), value.strip().strip('"')


def _quality(media_type: str, ranges: Sequence[tuple[str, str, float]]) -> float:
    """The quality by the most specific range: the type itself, then ``type/*``, then ``*/*``."""
    main, _, sub = media_type.partition(";")[0].partition("/")
    for wanted in ((main, sub), (main, "*"), ("*", "*")):
        fitting: list[Any] = [quality for *named, quality in ranges if tuple(named) == wanted]
        if fitting:
            return float(max(fitting))
    return 0.0
