"""How gunicorn serves the shop: ``gunicorn drinkgroup.wsgi``, in this folder. The command line comes first."""

import os
import secrets
import sys

if not os.environ.get("SECRET_KEY"):
    if os.environ.get("HTTPS", "").lower() in {"1", "true", "on", "yes", "y", "ok", "t"}:
        sys.exit("drinkgroup: SECRET_KEY is not set. All web processes need the same one, which lasts: 50 characters.")
    # One for all workers of this server. Logins end with it.
    os.environ["SECRET_KEY"] = secrets.token_urlsafe(48)

# Reads requests beside its threads: whoever sends slowly holds none (docs/adr).
worker_class = "drinkgroup.server.Worker"
workers = 2
threads = 4
# The control socket lies in the home directory, where a second gunicorn would find it.
control_socket_disable = True
