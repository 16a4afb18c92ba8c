"""The WSGI entry point: ``gunicorn drinkgroup.wsgi`` (``gunicorn.conf.py`` says how)."""

import gc
import json
import os
from io import BytesIO
from typing import TYPE_CHECKING

from django.conf import settings
from django.core import checks
from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import SystemCheckError
from django.core.wsgi import get_wsgi_application

if TYPE_CHECKING:
    from collections.abc import Iterable
    from wsgiref.types import StartResponse, WSGIEnvironment

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "drinkgroup.settings")
# A web request waits less long than a worker may.
os.environ.setdefault("STATEMENT_TIMEOUT", "4")
if settings.SECRET_KEY_IS_DRAWN and (settings.HTTPS or "gunicorn" in os.environ.get("SERVER_SOFTWARE", "")):
    # Each process would generate its own key, and a login at one would be invalid at the next.
    msg = "SECRET_KEY is not set: all web processes need the same one, which lasts."
    raise ImproperlyConfigured(msg)
_django = get_wsgi_application()

# A web process with settings that cannot work does not start, as `manage.py` and the workers do not.
if problems := [message for message in checks.run_checks(tags=["sagas", "orders"]) if message.is_serious()]:
    raise SystemCheckError("\n".join(str(problem) for problem in problems))

_LENGTH_REQUIRED = {
    "type": "/problems/length-required",
    "title": "Length required",
    "status": 411,
    "detail": "Say how long the body is, by Content-Length.",
    "instance": "/",
}


def application(environ: "WSGIEnvironment", start_response: "StartResponse") -> "Iterable[bytes]":
    """Call Django, with a chunked body as a body of known length, because Django reads no other.

    The shop's own server has already done so. This is for other servers.
    """
    if "HTTP_TRANSFER_ENCODING" in environ and not environ.get("CONTENT_LENGTH"):
        if not environ.get("wsgi.input_terminated"):
            start_response("411 Length Required", [("Content-Type", "application/problem+json")])
            return [json.dumps(_LENGTH_REQUIRED).encode()]
        # One byte more than Django accepts, so that it refuses a larger body for its length.
        body = environ["wsgi.input"].read(settings.DATA_UPLOAD_MAX_MEMORY_SIZE + 1)
        environ["wsgi.input"], environ["CONTENT_LENGTH"] = BytesIO(body), str(len(body))
    return _django(environ, start_response)


# What is loaded stays: a full collection would look at all of it again, 70 ms once in 800 orders.
gc.collect()
gc.freeze()
