"""How gunicorn serves the shop: ``gunicorn drinkgroup.wsgi``, in this folder. The command line overrides it."""

import os
import secrets
import sys

if not os.environ.get("SECRET_KEY"):
    if os.environ.get("HTTPS", "").lower() in {"1", "true", "on", "yes", "y", "ok", "t"}:
        sys.exit("drinkgroup: SECRET_KEY is not set. All web processes need the same one, which lasts: 50 characters.")
    # One key for all workers of this server. Logins end with the server.
    os.environ["SECRET_KEY"] = secrets.token_urlsafe(48)

# It reads requests outside its threads, so that a slow client occupies none (docs/adr/0032).
worker_class = "drinkgroup.server.Worker"
workers = 2
threads = 4
# The control socket is in the home directory, where a second gunicorn would find it.
control_socket_disable = True
