"""The limits of what is stored: the widths of the columns, the ranges of numbers, the lengths of texts and waits."""

from __future__ import annotations

from datetime import timedelta

# Widths of columns, in characters -----------------------------------------------------------------------------

#: A saga's stored name.
SAGA_NAME = 100
#: The name of a step or of a confirmation.
STEP_NAME = 48
#: A saga's stored name, a dot, and a step's name: what a breaker belongs to.
STEP_OF_SAGA = 150
#: A state of a run.
STATE = 16
#: An operation of a step, or an event in the life of a run.
OPERATION = 16
#: How an operation ended.
OUTCOME = 8
#: What people know a run by, such as an order number.
BUSINESS_KEY = 64
#: A key that runs lock.
LOCK_KEY = 128
#: The key of a decision that many runs await.
DECISION_KEY = 128
#: A worker's name.
WORKER_NAME = 100
#: The name of the participant that undoes an effect.
PARTICIPANT_NAME = 200
#: The name of a person. Django's user names have as many characters.
PERSON_NAME = 150
#: The name of a domain event.
EVENT_NAME = 120
#: The id of a domain event.
EVENT_ID = 100
#: The name of a consumer of domain events.
CONSUMER_NAME = 48
#: The key of a pool's row.
POOL_KEY = 64
#: The state of a hold.
HOLD_STATE = 9
#: What a pause is about.
PAUSE_SCOPE = 8
#: The name of a metric.
METRIC_NAME = 80
#: The labels of a metric's series, as JSON.
METRIC_LABELS = 700
#: Of a counted error: its code, such as the exception's class, and its text without numbers.
CODE, FINGERPRINT = 100, 200

# Largest numbers ----------------------------------------------------------------------------------------------

#: In a column of PostgreSQL, by its type.
SMALLINT, INTEGER, BIGINT = 2**15 - 1, 2**31 - 1, 2**63 - 1
#: Steps of a saga, with the confirmations that have a ``compensate``: ``Run.fork`` has a bit for each.
STEPS = 63
#: Steps of a saga that have a ``when``: each doubles the number of shapes, which are all on record.
CONDITIONAL_STEPS = 6
#: Bytes of one JSONB object or list (``JENTRY_OFFLENMASK`` in PostgreSQL); beyond it is SQLSTATE 54000.
JSONB = 2**28 - 1

# What no column limits ----------------------------------------------------------------------------------------

#: Characters of a note or a reason that a person gives.
NOTE = 10_000
#: Characters that are stored of an error's text, or of a reason.
DETAIL = 2000
#: Levels of lists and objects in JSON. Each level costs stack wherever the JSON is read later: the ``json`` module
#: ends near 1,000 levels, pydantic near 200.
JSON_DEPTH = 64
#: The longest wait. Neither Python nor PostgreSQL can write dates far beyond it.
WAIT = timedelta(days=36_500)
