"""Who asks: knox tokens, kept hashed, read in one query."""

from __future__ import annotations

from typing import Any

from django.utils import timezone
from knox.auth import TokenAuthentication as KnoxTokenAuthentication
from rest_framework.exceptions import AuthenticationFailed


class TokenAuthentication(KnoxTokenAuthentication):  # type: ignore[misc]  # knox has no types
    """``Authorization: Token …``."""

    def authenticate_credentials(self, token: bytes) -> tuple[Any, Any]:
        """Find the token; bytes that cannot be one are a wrong token, not an error."""
        if not token.isalnum():
            raise AuthenticationFailed("Invalid token.")
        found: tuple[Any, Any] = super().authenticate_credentials(token)
        return found

    def _cleanup_token(self, auth_token: Any) -> bool:
        # Knox reads and deletes all expired tokens of the user here, on every request. Expired is
        # expired without that; `manage.py` is where one tidies up.
        return auth_token.expiry is not None and bool(auth_token.expiry < timezone.now())
