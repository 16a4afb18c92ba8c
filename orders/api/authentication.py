"""Authentication by knox tokens, which are kept hashed and read in one query."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.utils import timezone
from knox.auth import TokenAuthentication as KnoxTokenAuthentication
from rest_framework.exceptions import AuthenticationFailed


class TokenAuthentication(KnoxTokenAuthentication):  # type: ignore[misc]  # knox has no types
    """``Authorization: Token …``."""

    def authenticate_credentials(self, token: bytes) -> tuple[Any, Any]:
        """Find the token. Bytes that cannot be a token are a wrong token, not an error."""
        if not token.isalnum():
            raise AuthenticationFailed("Invalid token.")
        found: tuple[Any, Any] = super().authenticate_credentials(token)
        return found

    def _cleanup_token(self, auth_token: Any) -> bool:
        # Knox reads and deletes all expired tokens of the user here, on every request. That is not needed: logins and
        # `manage.py sweep` delete them. A token without an end is valid as long as the others.
        until = auth_token.expiry or auth_token.created + settings.REST_KNOX["TOKEN_TTL"]
        return bool(until <= timezone.now())
