"""Authentication by knox tokens, which are kept hashed, read in one query, and remembered for a few seconds.

A token that was found valid is remembered by its hash. A process that changes or deletes a token or its user by
Django's models forgets it at once. Every other change (another process, a bulk update, SQL) is seen within
``REMEMBERED`` seconds. The end of a token is compared at every request.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import cache
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import connection, transaction
from django.db.models.signals import post_delete, post_save
from django.utils import timezone
from django.utils.translation import gettext as _
from knox.auth import TokenAuthentication as KnoxTokenAuthentication
from knox.crypto import hash_token
from knox.models import AuthToken
from rest_framework.exceptions import AuthenticationFailed

from sagas.postgresql import prepared

#: Seconds for which a valid token is remembered.
REMEMBERED = 5.0
#: So many tokens are remembered at most.
_MOST = 10_000
#: Seconds, never set back.
clock = time.monotonic


class _Memory:
    """The valid tokens that this process has read lately, with their users. Threads share them: nobody changes one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: dict[str, tuple[float, Any, Any]] = {}
        #: How often something was forgotten.
        self.forgotten = 0

    def find(self, digest: str) -> tuple[Any, Any] | None:
        """The user and the token of this hash."""
        until, user, token = self._kept.get(digest, (0.0, None, None))
        return (user, token) if clock() < until else None

    def keep(self, user: Any, token: Any, *, read_at: float, forgotten: int) -> None:
        """Remember what was read, unless something was forgotten since ``forgotten``: it may be out of date."""
        with self._lock:
            if forgotten != self.forgotten:
                return
            if len(self._kept) >= _MOST:
                self._kept.clear()
            self._kept[token.digest] = (read_at + REMEMBERED, user, token)

    def forget(self, which: Callable[[Any, Any], bool]) -> None:
        """Forget the tokens for which ``which(user, token)`` is true."""
        with self._lock:
            self.forgotten += 1
            for digest in [digest for digest, (_, user, token) in self._kept.items() if which(user, token)]:
                del self._kept[digest]


_memory = _Memory()


class TokenAuthentication(KnoxTokenAuthentication):  # type: ignore[misc]  # knox has no types
    """``Authorization: Token …``."""

    def authenticate_credentials(self, token: bytes) -> tuple[Any, Any]:
        """Find the token. Bytes that cannot be a token are a wrong token, not an error."""
        if not token.isalnum():
            raise AuthenticationFailed(_("Invalid token."))
        digest = hash_token(token.decode())
        found = _memory.find(digest)
        if found is not None and not self._cleanup_token(found[1]):
            return found
        # Both before the query.
        read_at, forgotten = clock(), _memory.forgotten
        user, kept = self._read(digest)
        _memory.keep(user, kept, read_at=read_at, forgotten=forgotten)
        return user, kept

    def _read(self, digest: str) -> tuple[Any, Any]:
        """Read the token of this hash, and its user, by their primary keys in one statement that is prepared."""
        with connection.cursor() as cursor:
            prepared.execute(cursor, _statement(), {"digest": digest})
            found = cursor.fetchone()
        if found is None:
            raise AuthenticationFailed(_("Invalid token."))
        names = [field.attname for field in AuthToken._meta.concrete_fields]
        token = AuthToken.from_db(connection.alias, names, found[: len(names)])
        users = get_user_model()
        fields = [field.attname for field in users._meta.concrete_fields]
        token.user = users.from_db(connection.alias, fields, found[len(names) :])
        if self._cleanup_token(token):
            raise AuthenticationFailed(_("Invalid token."))
        return self.validate_user(token)  # type: ignore[no-any-return]  # knox has no types

    def _cleanup_token(self, auth_token: Any) -> bool:
        # Knox reads and deletes all expired tokens of the user here, on every request. That is not needed: logins and
        # `manage.py sweep` delete them. A token without an end is valid as long as the others.
        until = auth_token.expiry or auth_token.created + settings.REST_KNOX["TOKEN_TTL"]
        return bool(until <= timezone.now())


@cache
def _statement() -> str:
    tokens, users = AuthToken._meta, get_user_model()._meta
    columns = [f't."{field.column}"' for field in tokens.concrete_fields]
    columns += [f'u."{field.column}"' for field in users.concrete_fields]
    return (
        f'SELECT {", ".join(columns)} FROM "{tokens.db_table}" AS t JOIN "{users.db_table}" AS u '  # noqa: S608 - names of models
        f'ON u."{users.pk.column}" = t."{tokens.get_field("user").column}" WHERE t."digest" = %(digest)s'
    )


def _forget(instance: Any, using: str, created: bool = False, **_: Any) -> None:
    """Forget a token, or the tokens of a user, that is being changed or deleted. Nobody remembers what is new."""
    if created:
        return
    pk = instance.pk
    of_user = isinstance(instance, get_user_model())

    def forget() -> None:
        _memory.forget(lambda user, token: bool(pk == (user if of_user else token).pk))

    forget()
    # Again after the commit, because another thread may have read the old row meanwhile.
    transaction.on_commit(forget, using=using)


for _signal in (post_save, post_delete):
    _signal.connect(_forget, sender=AuthToken)
    _signal.connect(_forget, sender=settings.AUTH_USER_MODEL)
