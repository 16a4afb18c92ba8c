"""The tables of the engine. Invariants live in the schema: constraints here, triggers in ``0002_guards`` and later.

Nothing on the hot path goes through these classes (``sagas.store`` has the SQL); they are the schema, and what admin
and selectors read.
"""

from __future__ import annotations

from django.db import models
from django.db.models import Case, F, Q, Value, When
from django.db.models.functions import Now

from sagas import limits
from sagas.states import LIVE, BarrierOutcome, State


class Run(models.Model):
    """One execution of a saga. Its id is the global transaction id.

    ``cursor`` depends on the state: number of steps done while EXECUTING, position of the step to confirm (or,
    behind the pivot, to perform) while CONFIRMING, number of steps still to undo while COMPENSATING.
    ``fork`` has a bit for the position of each branch of a ``Parallel`` at the cursor that is done; while
    COMPENSATING, one for each step above the cursor that is still to undo.
    """

    id = models.UUIDField(primary_key=True)
    saga = models.CharField(max_length=limits.SAGA_NAME)
    version = models.PositiveSmallIntegerField()
    shape = models.IntegerField(default=0, db_default=0, help_text="Which of the definition's shapes it follows.")
    state = models.CharField(
        max_length=limits.STATE, choices=[(s.value, s.value) for s in State], default=State.PENDING
    )
    cursor = models.PositiveSmallIntegerField(default=0)
    fork = models.BigIntegerField(db_default=0)
    attempt = models.PositiveSmallIntegerField(
        default=0, help_text="Attempts of the operation at the cursor that have failed."
    )
    claims = models.PositiveSmallIntegerField(
        default=0, help_text="How often the dispatcher has claimed the run since it last made progress."
    )
    business_key = models.CharField(max_length=limits.BUSINESS_KEY, blank=True)
    request = models.JSONField()
    results = models.JSONField(default=dict)
    reason = models.JSONField(null=True, help_text="Why the run is being undone.")
    pending = models.JSONField(
        null=True, help_text="By step: what was begun and not answered, or waits for its next attempt, and until when."
    )
    trace_id = models.UUIDField()
    locked = models.BooleanField(db_default=False, help_text="Whether it locks business keys while it is not final.")
    parent_id = models.UUIDField(null=True, help_text="The run of which this is one step.")
    parent_step = models.CharField(max_length=limits.STEP_NAME, null=True, help_text="Which step of it.")  # noqa: DJ001
    created_at = models.DateTimeField(db_default=Now())
    started_at = models.DateTimeField(null=True, help_text="When the dispatcher first claimed it.")
    deadline = models.DateTimeField(null=True, help_text="When the next missing confirmation is too late.")
    held_until = models.DateTimeField(
        null=True, help_text="Until when no deadline and no time-out turns it back: the database was restored."
    )
    due_at = models.DateTimeField(null=True, help_text="When the dispatcher looks at it again.")
    finished_at = models.DateTimeField(null=True)
    events = models.PositiveIntegerField(
        null=True, editable=False, help_text="How many events it has written to the outbox; none if it publishes none."
    )

    class Meta:
        """Few indexes: each is paid on every run."""

        constraints = [
            # No run is stranded: whatever the engine must still move has a time at which it looks.
            models.CheckConstraint(
                name="sagas_run_live_is_due",
                condition=Q(state__in=sorted(LIVE), due_at__isnull=False)
                | (~Q(state__in=sorted(LIVE)) & Q(due_at__isnull=True)),
            )
        ]
        indexes = [
            # On due_at alone (not on state), so that most updates of a run stay off the index (HOT).
            models.Index(name="sagas_run_due", fields=["due_at"], condition=Q(due_at__isnull=False)),
            models.Index(name="sagas_run_business_key", fields=["business_key"]),
            models.Index(name="sagas_run_parent", fields=["parent_id"], condition=Q(parent_id__isnull=False)),
        ]

    def __str__(self) -> str:
        """Name it as an operator would."""
        return f"{self.saga} {self.business_key or self.id}"


class Definition(models.Model):
    """A definition as it was when a run of it began: what its code must still be able to do for that run.

    Once for each shape that a saga's version ever had; see ``sagas.store.definitions``.
    """

    saga = models.CharField(max_length=limits.SAGA_NAME)
    version = models.PositiveSmallIntegerField()
    shape = models.IntegerField()
    body = models.JSONField(help_text="Steps, their operations and queues, and confirmations.")
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        """Runs name it by these three."""

        constraints = [models.UniqueConstraint(name="sagas_definition_once", fields=["saga", "version", "shape"])]

    def __str__(self) -> str:
        """Name it."""
        return f"{self.saga} version {self.version}"


class LogOutcome(models.TextChoices):
    """How an operation ended, or what happened to the run."""

    DONE = "DONE"
    REJECTED = "REJECTED"
    FAULT = "FAULT"
    #: Begun; how it ended is written when it is reported.
    ACCEPTED = "ACCEPTED"
    #: A call of a remote participant is about to be made; how it ended is written when it has answered.
    INTENT = "INTENT"
    #: Not an operation of a step: an event in the life of the run (started, confirmed, expired, …).
    EVENT = "EVENT"


class Log(models.Model):
    """The write-ahead log: append-only, the timeline that admin draws, the audit trail.

    No foreign key: it is written for every step of every run, under the run's lock.
    """

    id = models.BigAutoField(primary_key=True)
    run_id = models.UUIDField()
    step = models.CharField(max_length=limits.STEP_NAME, blank=True)
    operation = models.CharField(max_length=limits.OPERATION)
    outcome = models.CharField(max_length=limits.OUTCOME, choices=LogOutcome.choices)
    attempt = models.PositiveSmallIntegerField(default=1)
    at = models.DateTimeField(db_default=Now())
    duration_us = models.PositiveIntegerField(
        default=0, help_text="Microseconds in the participant, for the whole cohort where it is set-based."
    )
    worker = models.CharField(max_length=limits.WORKER_NAME, blank=True)
    trace_id = models.UUIDField()
    compensate = models.CharField(max_length=limits.PARTICIPANT_NAME, blank=True, help_text="Who undoes this effect.")
    data = models.JSONField(null=True, help_text="Result or error.")

    class Meta:
        """One index serves both the proof and the timeline of a run: each is paid for every step."""

        constraints = [
            # An effect happens once; whatever else happens may happen again. The cursor under the run's lock
            # is what prevents doubles; this proves it.
            models.UniqueConstraint(
                "run_id",
                "step",
                "operation",
                Case(When(outcome="DONE", then=Value(0)), default=F("id"), output_field=models.BigIntegerField()),
                name="sagas_log_effect_once",
            )
        ]

    def __str__(self) -> str:
        """Name it as the timeline does."""
        return f"{self.step} {self.operation} {self.outcome}".strip()


class Confirmation(models.Model):
    """A confirmation that came. One row a run and name, whatever the network repeats."""

    run_id = models.UUIDField()
    name = models.CharField(max_length=limits.STEP_NAME)
    data = models.JSONField()
    received_at = models.DateTimeField(db_default=Now())

    class Meta:
        """One per run and name."""

        constraints = [models.UniqueConstraint(name="sagas_confirmation_once", fields=["run_id", "name"])]

    def __str__(self) -> str:
        """Name it."""
        return f"{self.name} of {self.run_id}"


class Lock(models.Model):
    """A run's place in the line at a business key. Who has the lowest ticket holds it; see ``sagas.store.locks``.

    A trigger (``0006_locks``) deletes it when the run is final.
    """

    key = models.CharField(max_length=limits.LOCK_KEY)
    run_id = models.UUIDField()
    family = models.UUIDField(help_text="The run of which this one is a step, or a step of a step; else itself.")
    ticket = models.BigIntegerField()
    since = models.DateTimeField(db_default=Now())

    class Meta:
        """One index for the lines, one for a run's places in them."""

        constraints = [models.UniqueConstraint(name="sagas_lock_once", fields=["run_id", "key"])]
        indexes = [models.Index(name="sagas_lock_line", fields=["key", "ticket"])]

    def __str__(self) -> str:
        """Name it."""
        return f"{self.run_id} at {self.key}"


class Escalation(models.Model):
    """A run that needs a person: why, what to do, who has taken it, and how it was resolved.

    While nobody has acknowledged it, ``notify_at`` says when a notice of it is published next: a lost
    message, a dead broker or a dead notifier cost time only.
    """

    run = models.ForeignKey(Run, on_delete=models.PROTECT, related_name="escalations")
    #: Where the run stood, and where ``resume`` puts it back.
    state = models.CharField(max_length=limits.STATE)
    step = models.CharField(max_length=limits.STEP_NAME, blank=True)
    operation = models.CharField(max_length=limits.OPERATION, blank=True)
    error = models.JSONField()
    suggestion = models.TextField(blank=True, db_default="", help_text="What the engine thinks should be done.")
    created_at = models.DateTimeField(db_default=Now())
    assignee = models.CharField(max_length=limits.PERSON_NAME, blank=True, db_default="", help_text="Who sees to it.")
    acknowledged_at = models.DateTimeField(null=True)
    acknowledged_by = models.CharField(max_length=limits.PERSON_NAME, blank=True, db_default="")
    notify_at = models.DateTimeField(null=True, db_default=Now(), help_text="When a notice is published next.")
    notices = models.PositiveIntegerField(db_default=0, help_text="Notices published, of which some may be lost.")
    sent = models.PositiveIntegerField(db_default=0, help_text="Number of the last notice known to have been sent.")
    resolved_at = models.DateTimeField(null=True)
    resolution = models.CharField(max_length=limits.STATE, blank=True)
    resolved_by = models.CharField(max_length=limits.PERSON_NAME, blank=True)
    note = models.TextField(blank=True)

    class Meta:
        """At most one open escalation a run, and none that nobody is told of."""

        permissions = [
            ("acknowledge_escalation", "Can acknowledge escalations, and take them"),
            ("resolve_escalation", "Can end an escalated run by hand"),
        ]
        constraints = [
            models.UniqueConstraint(
                name="sagas_escalation_one_open", fields=["run"], condition=Q(resolved_at__isnull=True)
            ),
            models.CheckConstraint(
                name="sagas_escalation_is_told",
                condition=Q(resolved_at__isnull=True, acknowledged_at__isnull=True, notify_at__isnull=False)
                | (Q(notify_at__isnull=True) & (Q(resolved_at__isnull=False) | Q(acknowledged_at__isnull=False))),
            ),
            # Where it is put back by a resumption.
            models.CheckConstraint(name="sagas_escalation_of_live", condition=Q(state__in=sorted(LIVE))),
        ]
        indexes = [
            models.Index(name="sagas_escalation_notify", fields=["notify_at"], condition=Q(notify_at__isnull=False)),
        ]

    def __str__(self) -> str:
        """Name it."""
        return f"{self.run_id} at {self.step or self.state}"


class Breaker(models.Model):
    """A participant that broke too often: its runs escalate at once, and one at a time is let through as a probe."""

    #: The saga's name, a dot, and the step's.
    participant = models.CharField(max_length=limits.STEP_OF_SAGA, primary_key=True)
    step = models.CharField(max_length=limits.STEP_NAME)
    opened_at = models.DateTimeField()
    closed_at = models.DateTimeField(null=True, help_text="When a probe succeeded; none while it is open.")
    probe_at = models.DateTimeField(help_text="When the next probe may go.")
    probe_run = models.UUIDField(null=True, help_text="The last probe.")
    probe_operation = models.CharField(max_length=limits.OPERATION, blank=True)
    failed = models.PositiveIntegerField(help_text="Retried operations that failed in the last window, at the opening.")
    retried = models.PositiveIntegerField(help_text="Retried operations that were looked at then.")

    def __str__(self) -> str:
        """Name it."""
        return self.participant


class BreakerSample(models.Model):
    """What became of retried operations of a participant, in one transaction. Insert-only: no row is hot."""

    participant = models.CharField(max_length=limits.STEP_OF_SAGA)
    at = models.DateTimeField(db_default=Now())
    succeeded = models.PositiveIntegerField()
    failed = models.PositiveIntegerField()

    class Meta:
        """Read by participant, the latest first."""

        indexes = [models.Index(name="sagas_sample_latest", fields=["participant", "at"])]

    def __str__(self) -> str:
        """Name it."""
        return f"{self.participant}: {self.failed} of {self.succeeded + self.failed} failed"


class Outbox(models.Model):
    """A domain event on its way to RabbitMQ: inserted with what it tells of, deleted when RabbitMQ has confirmed it."""

    pk = models.CompositePrimaryKey("run_id", "position")
    run_id = models.UUIDField()
    position = models.PositiveIntegerField(help_text="In the run's history, from 1, without a gap.")
    name = models.CharField(max_length=limits.EVENT_NAME)
    saga = models.CharField(max_length=limits.SAGA_NAME)
    version = models.PositiveSmallIntegerField()
    step = models.CharField(max_length=limits.STEP_NAME, blank=True)
    business_key = models.CharField(max_length=limits.BUSINESS_KEY, blank=True)
    trace_id = models.UUIDField()
    occurred_at = models.DateTimeField()
    data = models.JSONField(null=True)
    attempt = models.PositiveSmallIntegerField(default=0, help_text="How often RabbitMQ has refused it.")
    due_at = models.DateTimeField(help_text="When it is published, or tried again.")

    class Meta:
        """The primary key finds what comes first of a run, and proves that each position is taken once."""

        indexes = [models.Index(name="sagas_outbox_due", fields=["due_at"])]

    def __str__(self) -> str:
        """Name it as consumers do."""
        return f"{self.run_id}:{self.position} {self.name}"


class Inbox(models.Model):
    """An event that a consumer in this database has taken, so that it takes no second copy."""

    pk = models.CompositePrimaryKey("consumer", "event_id")
    consumer = models.CharField(max_length=limits.CONSUMER_NAME)
    event_id = models.CharField(max_length=limits.EVENT_ID)
    received_at = models.DateTimeField(db_default=Now())

    class Meta:
        """The index lets old rows be found."""

        indexes = [models.Index(name="sagas_inbox_received", fields=["received_at"])]
        verbose_name_plural = "inbox"

    def __str__(self) -> str:
        """Name it."""
        return f"{self.event_id} by {self.consumer}"


class Worker(models.Model):
    """A worker's main process, as it last said of itself. Only people read it; see ``sagas.messaging.heartbeat``."""

    name = models.CharField(max_length=limits.WORKER_NAME, primary_key=True)
    beat_at = models.DateTimeField(help_text="When it was last heard of.")
    ticked_at = models.DateTimeField(null=True, help_text="When it last asked for a dispatch on a tick.")
    delivered_at = models.DateTimeField(null=True, help_text="When it last began to work on a delivery.")
    busy = models.PositiveIntegerField(default=0, help_text="Deliveries that were being worked on.")
    busy_since = models.DateTimeField(null=True, help_text="Since when on the first of them.")
    queues = models.TextField(blank=True, help_text="What it consumes, separated by commas.")

    def __str__(self) -> str:
        """Name it."""
        return self.name


class Barrier(models.Model):
    """In another database: the row by which an operation takes effect there once. See ``sagas.engine.barrier``.

    It is written in the transaction of the effect. The key is the idempotency key, ``<run>:<step>:<operation>``.
    """

    pk = models.CompositePrimaryKey("run_id", "step", "operation")
    run_id = models.UUIDField()
    step = models.CharField(max_length=limits.STEP_NAME)
    operation = models.CharField(max_length=limits.OPERATION)
    outcome = models.CharField(max_length=limits.OUTCOME, choices=[(p.value, p.value) for p in BarrierOutcome])
    attempt = models.PositiveSmallIntegerField()
    at = models.DateTimeField(db_default=Now())
    data = models.JSONField(null=True, help_text="Result or rejection.")

    def __str__(self) -> str:
        """Name it by its key."""
        return f"{self.run_id}:{self.step}:{self.operation} {self.outcome}"
