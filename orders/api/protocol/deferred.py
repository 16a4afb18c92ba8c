"""What the server and the API agree on: answers that are given later, without a thread that waits, and late orders."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Final, Protocol

from django.http import HttpResponse
from django.utils.translation import get_language, override

#: The key of a request's environment that says whether its answer may be deferred.
DEFERS: Final = "drinkgroup.defers"
#: Requests, by method and path, that the server refuses once they have waited so many seconds for a thread, before the
#: application sees them: under overload, each of them would cost more than that. A repeat is answered later.
REFUSED_LATE: Final = frozenset({("POST", "/api/v1/orders/")})
LONGEST_WAIT: Final = 2.0


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a deferred answer.

    Attributes:
        data: what is sent now.
        ends: whether it is the last.
        status: as ``200 OK``, and the headers of the answer; both count in the first piece only.
    """

    data: bytes
    ends: bool = True
    status: str = "200 OK"
    headers: Sequence[tuple[str, str]] = ()


class Watch(Protocol):
    """Something that is waited for."""

    def cancel(self) -> None:
        """Wait for it no more."""


class Deferred(Protocol):
    """A response of the application that is given later. It is known by ``is_deferred``.

    The environment of a request says by ``DEFERS`` whether its answer may be deferred now. A server that knows nothing
    of all this gives what is in the response at once.
    """

    is_deferred: bool

    def watch(self, go_on: Callable[[], None]) -> Watch:
        """Have ``go_on`` called once, from any thread, when there may be a next piece."""

    def resume(self, *, over: bool) -> Piece | None:
        """Return the next piece, if there is one by now. If it is ``over``, the last one.

        It is called behind ``watch``, in one of the server's threads.
        """

    def close(self) -> None:
        """For Django the request is over."""


class DeferredResponse(HttpResponse):
    """A response of Django that is given later, in the language of its request."""

    is_deferred = True

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._language = get_language()

    def in_its_language(self) -> AbstractContextManager[None]:
        """Speak it: the thread that writes the answer has served others since."""
        return override(self._language)

    def heads(self, length: int | None = None) -> list[tuple[str, str]]:
        """The headers of the answer, as the first piece has them; with the length of its body, if that is known."""
        heads = [(name, value) for name, value in self.items() if name.lower() != "content-length"]
        if length is not None:
            heads.append(("Content-Length", str(length)))
        return [*heads, *(("Set-Cookie", cookie.OutputString()) for cookie in self.cookies.values())]
