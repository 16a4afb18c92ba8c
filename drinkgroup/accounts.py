"""The pages with which people sign in, sign out, and change their password: Django's own views, with limits.

Failed logins are counted and refused by ``drinkgroup.logins``; here all of them are, by address, as those for tokens
are. A login begins a new session, so that nobody knows its id who knew the one before.
"""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.contrib.auth import views
from django.contrib.auth.forms import AuthenticationForm, PasswordChangeForm
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse_lazy
from django.utils.decorators import method_decorator
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from knox.models import AuthToken

from orders.api.protocol import throttles
from orders.api.protocol.addresses import client_address


class SignIn(views.LoginView):
    """Sign in, and go on to where somebody came from: a path of this site, or one's orders."""

    template_name = "accounts/sign_in.html"
    next_page = "my-orders"
    # Who is signed in may sign in as another: a page that sends them on would tell other sites that they are.
    redirect_authenticated_user = False

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Count the attempt, and try it."""
        return _held_back(request, f"address {client_address(request)}") or super().post(request, *args, **kwargs)

    def form_invalid(self, form: AuthenticationForm) -> HttpResponse:
        """Show the form again, with a status that says that it was refused."""
        response = super().form_invalid(form)
        response.status_code = 422
        return response


class SignOut(views.LogoutView):
    """End the session. By POST only, so that no link of another site does it."""

    next_page = "home"


@method_decorator(never_cache, name="dispatch")
class ChangePassword(views.PasswordChangeView):
    """Change one's own password. All other sessions and all tokens of the person end: whoever has stolen one is out."""

    template_name = "accounts/change_password.html"
    success_url = reverse_lazy("my-orders")

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Count the attempt: a stolen session must not find out the password."""
        return _held_back(request, f"customer {request.user.pk}") or super().post(request, *args, **kwargs)

    def form_valid(self, form: PasswordChangeForm) -> HttpResponse:
        """Change it; the session goes on under a new id."""
        # Both or neither: with a new password nobody would delete the stolen token any more.
        with transaction.atomic():
            response = super().form_valid(form)
            AuthToken.objects.filter(user=form.user).delete()
        messages.success(self.request, _("Your password is changed. Everywhere else you are signed out."))
        return response

    def form_invalid(self, form: PasswordChangeForm) -> HttpResponse:
        """Show the form again, with a status that says that it was refused."""
        response = super().form_invalid(form)
        response.status_code = 422
        return response


def _held_back(request: HttpRequest, who: str) -> HttpResponse | None:
    """The answer to an attempt that is one too many in this minute."""
    standing = throttles.count("logins", who)
    if standing is None or standing.left >= 0:
        return None
    headers = {**standing.headers(), "Retry-After": str(standing.resets_in)}
    response = render(request, "accounts/wait.html", {"seconds": standing.resets_in}, status=429)
    for name, value in headers.items():
        response[name] = value
    return response
