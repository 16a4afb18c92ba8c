"""The tables of the engine. Invariants live in the schema: constraints here, triggers in ``0002_guards``.

Nothing on the hot path goes through these classes (``sagas.store`` speaks SQL); they are the schema,
and what admin and selectors read.
"""

from __future__ import annotations

from django.db import models
from django.db.models import Case, F, Q, Value, When
from django.db.models.functions import Now

from sagas.definition import NAME_LIMIT
from sagas.states import LIVE, Passage, State


class Run(models.Model):
    """One execution of a saga. Its id is the global transaction id.

    ``cursor`` depends on the state: number of steps done while EXECUTING, position of the step to confirm (or,
    behind the pivot, to perform) while CONFIRMING, number of steps still to undo while COMPENSATING.
    ``fork`` has a bit for the position of each branch of a ``Parallel`` at the cursor that is done; while
    COMPENSATING, one for each step above the cursor that is still to undo.
    """

    id = models.UUIDField(primary_key=True)
    saga = models.CharField(max_length=100)
    version = models.PositiveSmallIntegerField()
    state = models.CharField(max_length=16, choices=[(s.value, s.value) for s in State], default=State.PENDING)
    cursor = models.PositiveSmallIntegerField(default=0)
    fork = models.BigIntegerField(db_default=0)
    attempt = models.PositiveSmallIntegerField(
        default=0, help_text="Attempts of the operation at the cursor that have failed."
    )
    claims = models.PositiveSmallIntegerField(
        default=0, help_text="How often the dispatcher has claimed the run since it last made progress."
    )
    business_key = models.CharField(max_length=64, blank=True)
    request = models.JSONField()
    results = models.JSONField(default=dict)
    reason = models.JSONField(null=True, help_text="Why the run is being undone.")
    pending = models.JSONField(
        null=True, help_text="By step: what was begun and not answered, or waits for its next attempt, and until when."
    )
    trace_id = models.UUIDField()
    parent_id = models.UUIDField(null=True, help_text="The run of which this is one step.")
    parent_step = models.CharField(max_length=NAME_LIMIT, null=True, help_text="Which step of it.")  # noqa: DJ001
    created_at = models.DateTimeField(db_default=Now())
    started_at = models.DateTimeField(null=True, help_text="When the dispatcher first claimed it.")
    deadline = models.DateTimeField(null=True, help_text="When the next missing confirmation is too late.")
    due_at = models.DateTimeField(null=True, help_text="When the dispatcher looks at it again.")
    finished_at = models.DateTimeField(null=True)

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


class Outcome(models.TextChoices):
    """How an operation ended, or what happened to the run."""

    DONE = "DONE"
    REJECTED = "REJECTED"
    FAULT = "FAULT"
    #: Begun; how it ended is written when it is reported.
    ACCEPTED = "ACCEPTED"
    #: Not an operation of a step: an event in the life of the run (started, confirmed, expired, …).
    EVENT = "EVENT"


class Log(models.Model):
    """The write-ahead log: append-only, the timeline that admin draws, the audit trail.

    No foreign key: it is written for every step of every run, under the run's lock.
    """

    id = models.BigAutoField(primary_key=True)
    run_id = models.UUIDField()
    step = models.CharField(max_length=NAME_LIMIT, blank=True)
    operation = models.CharField(max_length=16)
    outcome = models.CharField(max_length=8, choices=Outcome.choices)
    attempt = models.PositiveSmallIntegerField(default=1)
    at = models.DateTimeField(db_default=Now())
    duration_us = models.PositiveIntegerField(
        default=0, help_text="Microseconds in the participant, for the whole cohort where it is set-based."
    )
    worker = models.CharField(max_length=100, blank=True)
    trace_id = models.UUIDField()
    compensate = models.CharField(max_length=200, blank=True, help_text="Who undoes this effect.")
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
    name = models.CharField(max_length=NAME_LIMIT)
    data = models.JSONField()
    received_at = models.DateTimeField(db_default=Now())

    class Meta:
        """One per run and name."""

        constraints = [models.UniqueConstraint(name="sagas_confirmation_once", fields=["run_id", "name"])]

    def __str__(self) -> str:
        """Name it."""
        return f"{self.name} of {self.run_id}"


class Escalation(models.Model):
    """A run that needs a person: why, and how it was resolved."""

    run = models.ForeignKey(Run, on_delete=models.PROTECT, related_name="escalations")
    #: Where the run stood, and where ``resume`` puts it back.
    state = models.CharField(max_length=16)
    step = models.CharField(max_length=NAME_LIMIT, blank=True)
    operation = models.CharField(max_length=16, blank=True)
    error = models.JSONField()
    created_at = models.DateTimeField(db_default=Now())
    resolved_at = models.DateTimeField(null=True)
    resolution = models.CharField(max_length=16, blank=True)
    resolved_by = models.CharField(max_length=150, blank=True)
    note = models.TextField(blank=True)

    class Meta:
        """At most one open escalation a run."""

        constraints = [
            models.UniqueConstraint(
                name="sagas_escalation_one_open", fields=["run"], condition=Q(resolved_at__isnull=True)
            )
        ]

    def __str__(self) -> str:
        """Name it."""
        return f"{self.run_id} at {self.step or self.state}"


class Barrier(models.Model):
    """In another database: the row by which an operation takes effect there once. See ``sagas.elsewhere``.

    It is written in the transaction of the effect. The key is the idempotency key, ``<run>:<step>:<operation>``.
    """

    pk = models.CompositePrimaryKey("run_id", "step", "operation")
    run_id = models.UUIDField()
    step = models.CharField(max_length=NAME_LIMIT)
    operation = models.CharField(max_length=16)
    outcome = models.CharField(max_length=8, choices=[(p.value, p.value) for p in Passage])
    attempt = models.PositiveSmallIntegerField()
    at = models.DateTimeField(db_default=Now())
    data = models.JSONField(null=True, help_text="Result or rejection.")

    def __str__(self) -> str:
        """Name it by its key."""
        return f"{self.run_id}:{self.step}:{self.operation} {self.outcome}"
