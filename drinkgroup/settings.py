"""Settings of the drinkgroup project. Everything that differs between installations comes from the environment.

The three service URLs are read from the environment (``scripts/services`` and ``make run`` set them).
"""

from __future__ import annotations

from base64 import b64encode
from datetime import timedelta
from pathlib import Path
from secrets import token_bytes

import django_stubs_ext
import environ

from drinkgroup.logs import logging_config

# Before any app is imported, so that ModelAdmin[Order] is a class and not a TypeError.
django_stubs_ext.monkeypatch()

BASE_DIR = Path(__file__).resolve().parent.parent
env = environ.Env()

DEBUG = env.bool("DEBUG", default=False)
SECRET_KEY = env.str("SECRET_KEY", default="")
#: Whether this process has generated its own key, which is wrong if there are several web processes.
SECRET_KEY_IS_DRAWN = not SECRET_KEY
if SECRET_KEY_IS_DRAWN:
    # Sessions end with the process, which is right for commands and tests. `make run` and deployments set a permanent
    # key. A constant default would be a public secret.
    from django.core.management.utils import get_random_secret_key

    SECRET_KEY = get_random_secret_key()
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["localhost", "127.0.0.1", "[::1]"])

INSTALLED_APPS = [
    "drinkgroup.apps.ShopAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "axes",
    "django_otp",
    "django_otp.plugins.otp_totp",
    "django_otp.plugins.otp_static",
    "rest_framework",
    "knox",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "csp",
    "sagas",
    "inventory",
    "coupons",
    "delivery",
    "payments",
    "campaigns",
    "webhooks",
    "orders",
]

MIDDLEWARE = [
    # Around everything that may write a line into the log.
    "drinkgroup.middleware.RequestIds",
    # Around all others, so that every answer has a policy.
    "drinkgroup.middleware.ContentPolicy",
    # First, because a probe uses the address of a pod, without TLS.
    "drinkgroup.health.Probes",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "drinkgroup.middleware.Languages",
    "drinkgroup.middleware.Sessions",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "drinkgroup.middleware.Logins",
    "drinkgroup.middleware.SecondFactors",
    "drinkgroup.middleware.Messages",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    # Last, so that a locked out user gets its answer.
    "axes.middleware.AxesMiddleware",
]

ROOT_URLCONF = "drinkgroup.urls"
WSGI_APPLICATION = "drinkgroup.wsgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "drinkgroup" / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

DATABASES = {"default": env.db_url("DATABASE_URL", default="postgresql://drinkgroup@127.0.0.1:5432/drinkgroup")}
DATABASES["default"]["CONN_MAX_AGE"] = 60
DATABASES["default"]["CONN_HEALTH_CHECKS"] = True
# Django's backend, with a limit for every wait for the server.
DATABASES["default"]["ENGINE"] = "sagas.postgresql"
# Seconds that one statement may take: fewer in a web process (drinkgroup/wsgi.py); 0 for no limit, as for migrate.
STATEMENT_TIMEOUT = env.float("STATEMENT_TIMEOUT", default=30.0)
# Whether PgBouncer stands between, in transaction mode. Then nothing is set in a session: the limits below are the
# role's (ALTER ROLE … SET), and docs/reference/where-it-runs.md has the statements.
POOLED = env.bool("DATABASE_POOLED", default=False)
DATABASES["default"]["DISABLE_SERVER_SIDE_CURSORS"] = POOLED
# The wait for a lock ends before the statement's time does, so that the error says what was waited for. A worker that
# stalls in the middle of a transaction must not hold its runs for ever, nor must a session whose client is gone.
_SESSION = {
    "lock_timeout": f"{min(10.0, STATEMENT_TIMEOUT * 0.75 or 10.0):g}s",
    "statement_timeout": f"{STATEMENT_TIMEOUT:g}s",
    "idle_in_transaction_session_timeout": "30s",
    "client_connection_check_interval": "5s",
}
DATABASES["default"]["OPTIONS"] = {
    "connect_timeout": 3,
    # A second more than the server's own limit, which does not end the session.
    "patience": STATEMENT_TIMEOUT + 1 if STATEMENT_TIMEOUT else None,
    # Small cohorts by prepared statements.
    "prepares": env.bool("DATABASE_PREPARES", default=False) and not POOLED,
    # For a host or network that is gone and acknowledges nothing. Milliseconds; on Linux.
    "tcp_user_timeout": 10_000,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    **({} if POOLED else {"options": " ".join(f"-c {name}={value}" for name, value in _SESSION.items())}),
    **DATABASES["default"].get("OPTIONS", {}),
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English"), ("zh-hans", "简体中文")]
LOCALE_PATHS = [BASE_DIR / "locale"]
LANGUAGE_COOKIE_NAME = "language"
LANGUAGE_COOKIE_AGE = 365 * 24 * 3600
LANGUAGE_COOKIE_HTTPONLY = True
LANGUAGE_COOKIE_SAMESITE = "Lax"
FORMAT_MODULE_PATH = "drinkgroup.formats"
TIME_ZONE = "Asia/Shanghai"
USE_TZ = True
STATIC_URL = "/static/"
# The web process serves them from the apps' folders, unless a deployment collects them and sets STATIC_ROOT.
STATIC_ROOT = env.str("STATIC_ROOT", default=None)
WHITENOISE_USE_FINDERS = STATIC_ROOT is None

# Empty: there is none, and `manage.py sagas work` performs what is due.
RABBITMQ_URL = env.str("RABBITMQ_URL", default="amqp://guest:guest@127.0.0.1:5672//")
CELERY_BROKER_URL = RABBITMQ_URL or None

SAGAS = {
    "QUEUES": ["orders", "inventory", "coupons", "delivery", "payments", "campaigns", "webhooks"],
    "BROKER": "rabbitmq" if RABBITMQ_URL else None,
    # Empty: there is none, and nobody counts the requests of a client.
    "REDIS_URL": env.str("REDIS_URL", default="redis://127.0.0.1:6379/0") or None,
    # Not env.list, because such a URL may contain commas.
    "ESCALATION_URLS": env.str("ESCALATION_URLS", default="").split(),
    "ADMIN_URL": env.str("ADMIN_URL", default="") or None,
    # The carrier of orders: Celery chains (orchestration), or the domains' events (choreography).
    "CARRIERS": {"orders.PlaceOrder": env.str("CARRIER", default="orchestration")},
    "CALLBACK_SECRET": env.str("DRINKGROUP_CALLBACK_SECRET", default="") or None,
    # The expected wait of a new order, in seconds, above which orders are refused: so that of accepted ones stays flat.
    "ADMISSION": env.float("ADMISSION_SECONDS", default=10.0),
    # How many days orders' runs are kept after their end; 0: for ever. How many of the older ones a tick deletes.
    "RETENTION": {"*": days} if (days := env.float("RETENTION_DAYS", default=0.0)) else {},
    "PRUNE": env.int("PRUNE", default=0),
    # Whether processes count what they do; and the token of who may read it (manage.py sagas metrics --listen).
    "METRICS": env.bool("METRICS", default=False),
    "METRICS_TOKEN": env.str("METRICS_TOKEN", default="") or None,
}

# The currency of orders, by ISO 4217. Amounts are in its minor units.
CURRENCY = env.str("CURRENCY", default="CNY")
# How long an order waits for its payment, in seconds.
CONFIRM_WITHIN_SECONDS = env.float("CONFIRM_WITHIN_SECONDS", default=30.0)
# Seconds between two looks of the workers at what changed, for contradictions (manage.py reconcile); 0: none.
RECONCILE_SECONDS = env.float("RECONCILE_SECONDS", default=300.0)
# The database with a role that may read its replication slot, for `manage.py reconcile follow`; empty: DATABASE_URL.
RECONCILE_FOLLOW_URL = env.str("RECONCILE_FOLLOW_URL", default="")
# Whether orders publish domain events on RabbitMQ's exchange sagas.events.
#: Whether webhooks may go to private addresses, and without TLS: for developers, and for tests.
WEBHOOKS_PRIVATE = env.bool("WEBHOOKS_PRIVATE", default=False)
PUBLISH_EVENTS = env.bool("PUBLISH_EVENTS", default=False)
#: "compressed": all local steps of an order in one commit.
ORDER_LIFECYCLE = env.str("ORDER_LIFECYCLE", default="ordinary")
# Requests in a minute, over all web processes, of one customer: orders, reads, cancels, claims, unusable coupons.
ORDERS_PER_MINUTE = env.int("ORDERS_PER_MINUTE", default=6000)
READS_PER_MINUTE = env.int("READS_PER_MINUTE", default=6000)
CANCELS_PER_MINUTE = env.int("CANCELS_PER_MINUTE", default=1000)
CLAIMS_PER_MINUTE = env.int("CLAIMS_PER_MINUTE", default=120)
COUPON_GUESSES_PER_MINUTE = env.int("COUPON_GUESSES_PER_MINUTE", default=20)
# Seconds for which a claim locks a coupon for its customer. A claim that takes more than half of them is undone.
COUPON_LOCK_SECONDS = env.float("COUPON_LOCK_SECONDS", default=30.0)
# Logins from one address; failed ones are also counted by name (LOGIN_FAILURES).
LOGINS_PER_MINUTE = env.int("LOGINS_PER_MINUTE", default=30)
# Signed payments of one order; webhooks of one address with a wrong signature.
CONFIRMS_PER_MINUTE = env.int("CONFIRMS_PER_MINUTE", default=120)
FORGERIES_PER_MINUTE = env.int("FORGERIES_PER_MINUTE", default=120)
# Limits of unpaid orders and cups, of one customer and of one address; 0 is no limit. Behind proxies the client's
# address is known only with TRUSTED_PROXIES. This machine's own address does not count.
OPEN_ORDERS = {
    "customer": {
        "orders": env.int("OPEN_ORDERS_PER_CUSTOMER", default=10),
        "cups": env.int("OPEN_CUPS_PER_CUSTOMER", default=100),
    },
    "address": {
        "orders": env.int("OPEN_ORDERS_PER_ADDRESS", default=100),
        "cups": env.int("OPEN_CUPS_PER_ADDRESS", default=1000),
    },
}
# Shared with the payment provider: one secret, or several separated by spaces while it is being changed. Without it
# no payment can be confirmed over HTTP, because a random secret matches no signature.
# The logistics company. Without an address nothing is ordered by courier; examples/courier stands in for it.
COURIER_URL = env.str("COURIER_URL", default="")
COURIER_TOKEN = env.str("COURIER_TOKEN", default="")

WEBHOOK_SECRET = env.str("DRINKGROUP_WEBHOOK_SECRET", default="")
if not WEBHOOK_SECRET:
    WEBHOOK_SECRET = f"whsec_{b64encode(token_bytes(32)).decode()}"

# Where a customer pays an order, with {order_no}, {amount} (in minor units) and {currency} in it; empty: the order's
# page has no link to pay.
PAYMENT_PAGE = env.str("PAYMENT_PAGE", default="")
# The name of that gateway in /api/v1/payments/webhook/NAME/, and where its API is; empty: it
# has none, and people return money in its console (docs/how-to/connect-a-payment-gateway.md).
PAYMENT_GATEWAY = env.str("PAYMENT_GATEWAY", default="main")
GATEWAY_URL = env.str("GATEWAY_URL", default="")
GATEWAY_TOKEN = env.str("GATEWAY_TOKEN", default="")
# Seconds for which it waits for the answer to a webhook.
GATEWAY_PATIENCE = env.float("GATEWAY_PATIENCE", default=10.0)
# How often each worker process looks for payments that a lost hook has left standing; 0: never.
PAYMENT_SWEEP_SECONDS = env.float("PAYMENT_SWEEP_SECONDS", default=300.0)
# Further gateways by name, each with a secret, an address and so on of its own, as GATEWAY_ALIPAY_SECRET.
MORE_GATEWAYS = {
    name: {
        **{part.lower(): env.str(f"GATEWAY_{name.upper()}_{part}", default="") for part in ("SECRET", "URL", "TOKEN")},
        "patience": env.float(f"GATEWAY_{name.upper()}_PATIENCE", default=GATEWAY_PATIENCE),
    }
    for name in env.list("MORE_GATEWAYS", default=[])
}

#: The largest body of the API or form of the admin.
DATA_UPLOAD_MAX_MEMORY_SIZE = 64 * 1024

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["orders.api.protocol.authentication.TokenAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_PARSER_CLASSES": ["orders.api.protocol.bodies.StrictJSONParser"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "orders.api.protocol.negotiation.Negotiation",
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "orders.api.protocol.problems.exception_handler",
    # Proxies in front of the web processes whose X-Forwarded-For is trusted.
    "NUM_PROXIES": env.int("TRUSTED_PROXIES", default=0),
}
# Lifetime of a token of the API. A login creates another one; `make run` creates one at each start.
REST_KNOX = {"TOKEN_TTL": timedelta(days=env.int("TOKEN_DAYS", default=30)), "AUTO_REFRESH": False}
SPECTACULAR_SETTINGS = {
    "TITLE": "drinkgroup",
    "DESCRIPTION": "Order drinks together: place an order once, however often you must repeat it, and learn its fate.",
    "VERSION": "1",
    "OAS_VERSION": "3.1.1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_AUTHENTICATION": [],
    "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],
    "SCHEMA_PATH_PREFIX": "/api/v1",
    # The docs page needs no network.
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "COMPONENT_SPLIT_REQUEST": True,
    "WEBHOOKS": [f"orders.api.endpoints.{told}" for told in ("PLACED", "CONFIRMED", "REJECTED", "FULFILMENT", "TEST")],
    # Names for the enums of fields that several objects have.
    "ENUM_NAME_OVERRIDES": {
        "OrderState": "sagas.states.State",
        "StepState": "sagas.selectors.StepState",
        "PaymentState": "payments.models.PaymentState.values",
        "RefundState": "payments.models.RefundState.values",
        "FulfilmentState": "delivery.models.FulfilmentState.values",
        "FulfilmentKind": "delivery.models.FulfilmentKind.values",
    },
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "orders.api.schema.complete",
        "orders.api.examples.offer_what_is_there",
    ],
}

# Behind TLS, which is off only on a developer's machine.
HTTPS = env.bool("HTTPS", default=False)
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = LANGUAGE_COOKIE_SECURE = HTTPS
SECURE_HSTS_SECONDS = 31_536_000 if HTTPS else 0
# Probes come without TLS, and are answered earlier (drinkgroup.health.Probes).
SECURE_SSL_REDIRECT = HTTPS
# Browsers would refuse every subdomain without TLS for a year, so the owner of the domain must choose it.
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = env.bool("HSTS_SUBDOMAINS", default=False)
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if HTTPS else None
SESSION_COOKIE_HTTPONLY = CSRF_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[])
X_FRAME_OPTIONS = "DENY"
# Nothing inline and nothing from other hosts; the docs page also allows images in its stylesheet (orders.api.docs).
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'self'"],
        "base-uri": ["'none'"],
        "object-src": ["'none'"],
        "form-action": ["'self'"],
        "frame-ancestors": ["'none'"],
    }
}
# Whether /api/docs/ and its schema exist. By default they do without TLS, on a developer's machine.
API_DOCS = env.bool("API_DOCS", default=not HTTPS)

# Logins. axes comes first, so that no password is hashed for a locked out user.
AUTHENTICATION_BACKENDS = ["axes.backends.AxesStandaloneBackend", "django.contrib.auth.backends.ModelBackend"]
LOGIN_URL = "sign-in"
# Of the admin's own login; who signs in on the shop's page goes on to their orders.
LOGIN_REDIRECT_URL = "admin:index"
# What a person who changes a password may choose.
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
# Seconds for which a login lasts, on the shop's pages and in the admin.
SESSION_COOKIE_AGE = env.int("SESSION_AGE", default=8 * 3600)
# Whether the admin also asks for a one-time password (docs/shop.md says how to get a device).
ADMIN_SECOND_FACTOR = env.bool("ADMIN_SECOND_FACTOR", default=False)
# Failed logins after which no more are tried for a while: of a name at an address, at an address, of a name.
LOGIN_FAILURES = {"both": 5, "address": 20, "name": 50}
AXES_HANDLER = "drinkgroup.logins.LoginHandler"
AXES_CLIENT_IP_CALLABLE = "orders.api.protocol.addresses.client_address"
AXES_LOCKOUT_CALLABLE = "drinkgroup.logins.locked_out"
# LoginHandler compares the counts itself; with its numbers here, axes would list each failure as a lockout.
AXES_FAILURE_LIMIT = "drinkgroup.logins.failure_limit"
AXES_COOLOFF_TIME = timedelta(minutes=15)
AXES_RESET_ON_SUCCESS = True
# A login while locked out does not prolong the lockout.
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False
AXES_SENSITIVE_PARAMETERS = ["otp_token"]

# Spans go there, by OTLP over HTTP. OTEL_TRACES_SAMPLER and the other variables of OpenTelemetry say how.
TRACES = bool(env.str("OTEL_EXPORTER_OTLP_ENDPOINT", default=""))

LOGGING = logging_config(level=env.str("LOG_LEVEL", default="INFO"), fmt=env.str("LOG_FORMAT", default="json"))
