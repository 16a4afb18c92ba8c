"""The tables of the engine. The schema holds the invariants: constraints here, triggers in the migrations.

The hot path does not use these classes: ``sagas.store`` has its SQL. They are the schema, and the admin and the
selectors read by them.
"""

from __future__ import annotations

from django.db import models
from django.db.models import Case, F, Func, Q, When
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from sagas import limits
from sagas.fields import BigIntegers
from sagas.states import LIVE, UNDECIDED, BarrierOutcome, State


class Run(models.Model):
    """One execution of a saga. Its id is the global transaction id.

    The meaning of ``cursor`` depends on the state: in EXECUTING the number of steps that are done, in CONFIRMING the
    position of the step to confirm (or, behind the pivot, to perform), in COMPENSATING the number of steps to undo.
    ``fork`` has a bit for the position of each branch of a ``Parallel`` at the cursor that is done; in COMPENSATING it
    has a bit for each step above the cursor that is still to undo.
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
    trace_parent = models.TextField(  # noqa: DJ001 - NULL takes no room
        null=True, editable=False, help_text="Span, flags and tracestate of its start, if that was in a trace."
    )
    locked = models.BooleanField(db_default=False, help_text="Whether it locks business keys while it is not final.")
    parent_id = models.UUIDField(null=True, help_text="The run of which this is one step.")
    parent_step = models.CharField(max_length=limits.STEP_NAME, null=True, help_text="Which step of it.")  # noqa: DJ001
    created_at = models.DateTimeField(db_default=Now())
    started_at = models.DateTimeField(null=True, help_text="When the dispatcher first claimed it.")
    deadline = models.DateTimeField(null=True, help_text="When the next missing confirmation is too late.")
    held_until = models.DateTimeField(
        null=True,
        help_text="Until when no deadline and no time-out turns it back: it is paused, or the database was restored.",
    )
    paused_for = models.DurationField(
        null=True, help_text="For how long pauses have held it back: its time limits are later by so much."
    )
    due_at = models.DateTimeField(null=True, help_text="When the dispatcher looks at it again.")
    decision_name = models.CharField(  # noqa: DJ001 - NULL takes no room
        max_length=limits.STEP_NAME, null=True, help_text="The confirmation that comes by a decision for many runs."
    )
    decision_key = models.CharField(  # noqa: DJ001 - see above
        max_length=limits.DECISION_KEY, null=True, help_text="The key of this decision."
    )
    decided_at = models.DateTimeField(
        null=True, help_text="When it was given this decision, if other confirmations were missing then."
    )
    finished_at = models.DateTimeField(null=True)
    events = models.PositiveIntegerField(
        null=True, editable=False, help_text="How many events it has written to the outbox; none if it publishes none."
    )

    class Meta:
        """Few indexes: each one costs time for every run."""

        verbose_name, verbose_name_plural = _("run"), _("runs")
        permissions = [("view_personal_data", "Can see personal data of runs")]
        constraints = [
            # No run is stranded: a run that the engine must still move has a time at which it is due.
            models.CheckConstraint(
                name="sagas_run_live_is_due",
                condition=Q(state__in=sorted(LIVE), due_at__isnull=False)
                | (~Q(state__in=sorted(LIVE)) & Q(due_at__isnull=True)),
            )
        ]
        indexes = [
            # On due_at alone, and not on state, so that most updates of a run do not change the index (HOT).
            models.Index(name="sagas_run_due", fields=["due_at"], condition=Q(due_at__isnull=False)),
            models.Index(name="sagas_run_business_key", fields=["business_key"]),
            # For the lists of people. A run's state changes where due_at does, so this one prevents no HOT update, and
            # only runs that fail have an entry.
            models.Index(name="sagas_run_failed", fields=["id"], condition=Q(state=State.FAILED)),
            # Runs that await a decision for many. An escalated one gets it when it is resumed.
            models.Index(
                name="sagas_run_undecided",
                fields=["saga", "decision_key", "id"],
                condition=Q(
                    decision_key__isnull=False, decided_at__isnull=True, state__in=sorted({*UNDECIDED, State.ESCALATED})
                ),
            ),
            models.Index(name="sagas_run_parent", fields=["parent_id"], condition=Q(parent_id__isnull=False)),
        ]

    def __str__(self) -> str:
        return f"{self.saga} {self.business_key or self.id}"


class Definition(models.Model):
    """The shape of a definition when a run of it began: the code must still be able to perform it for that run.

    There is a row for each shape that a version of a saga ever had; see ``sagas.store.definitions``.
    """

    saga = models.CharField(max_length=limits.SAGA_NAME)
    version = models.PositiveSmallIntegerField()
    shape = models.IntegerField()
    body = models.JSONField(help_text="Steps, their operations and queues, and confirmations.")
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        """A run refers to it by these three columns."""

        constraints = [models.UniqueConstraint(name="sagas_definition_once", fields=["saga", "version", "shape"])]

    def __str__(self) -> str:
        return f"{self.saga} version {self.version}"


class LogOutcome(models.TextChoices):
    """The outcome of a log entry."""

    DONE = "DONE"
    REJECTED = "REJECTED"
    FAULT = "FAULT"
    #: The operation has begun. Its outcome is written when it is reported.
    ACCEPTED = "ACCEPTED"
    #: A remote participant is about to be called. The outcome is written when it has answered.
    INTENT = "INTENT"
    #: An event in the life of the run (started, confirmed, expired, …), and no operation of a step.
    EVENT = "EVENT"


class Performer(models.Model):
    """Who performed an operation and who undoes it: names that many log rows share; see ``sagas.store.performers``.

    Deleted with the last run that may name it.
    """

    id = models.AutoField(primary_key=True)
    worker = models.CharField(max_length=limits.WORKER_NAME, blank=True)
    compensate = models.CharField(max_length=limits.PARTICIPANT_NAME, blank=True, help_text="Who undoes the effect.")
    seen_at = models.DateTimeField(db_default=Now(), help_text="When its worker last looked whether it is on record.")

    class Meta:
        """Once each."""

        constraints = [models.UniqueConstraint(name="sagas_performer_once", fields=["worker", "compensate"])]

    def __str__(self) -> str:
        return self.worker


class Log(models.Model):
    """The log of all runs, append-only. It is the audit trail, and the admin draws the timeline from it.

    It has no foreign key in the database, because it is written for every step of every run, under the run's lock. Nor
    has it a primary key there: nothing looks for a row by its ``id``, which only says what came first.
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
    worker = models.CharField(  # noqa: DJ001 - NULL takes no room
        max_length=limits.WORKER_NAME,
        blank=True,
        null=True,
        help_text="Of a row without a performer, and of an event the person.",
    )
    trace_id = models.UUIDField(null=True, help_text="Only in rows of earlier versions: it is that of the run.")
    compensate = models.CharField(  # noqa: DJ001 - see above
        max_length=limits.PARTICIPANT_NAME,
        blank=True,
        null=True,
        help_text="Who undoes this effect; of a row without a performer.",
    )
    data = models.JSONField(null=True, help_text="Result or error.")
    performer = models.ForeignKey(
        Performer, models.DO_NOTHING, null=True, related_name="+", db_constraint=False, db_index=False
    )

    class Meta:
        """One B-tree serves both the proof and the timeline of a run, because each costs time for every step."""

        constraints = [
            # An effect happens once; other entries may be repeated. The cursor under the run's lock prevents double
            # effects, and this constraint proves it. 64 bits of a hash, because an index of the names would be as large
            # as the log: within one run two effects have the same with a probability of 1 in 10^15.
            models.UniqueConstraint(
                "run_id",
                Case(
                    When(
                        outcome="DONE",
                        then=Func(
                            F("step"),
                            F("operation"),
                            arg_joiner=" || ' ' || ",
                            template="hashtextextended(%(expressions)s, 0)",
                            output_field=models.BigIntegerField(),
                        ),
                    )
                ),
                name="sagas_log_effect_once",
            )
        ]
        # Migration 0028_log_by_id adds a summary of the ids, by which what came since an id is found.

    def __str__(self) -> str:
        return f"{self.step} {self.operation} {self.outcome}".strip()

    @property
    def performed_by(self) -> str:
        """The worker, or of an event the person; '' if nobody is on record."""
        return self.worker or "" if self.performer is None else self.performer.worker

    @property
    def undone_by(self) -> str:
        """The participant that undoes this effect; '' if there is nothing to undo."""
        return self.compensate or "" if self.performer is None else self.performer.compensate


class Confirmation(models.Model):
    """A confirmation that came. Each run has one row for each name, however often the network repeats it."""

    run_id = models.UUIDField()
    name = models.CharField(max_length=limits.STEP_NAME)
    data = models.JSONField()
    received_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [models.UniqueConstraint(name="sagas_confirmation_once", fields=["run_id", "name"])]

    def __str__(self) -> str:
        return f"{self.name} of {self.run_id}"


class SharedDecision(models.Model):
    """One decision for all runs of a key that await the same confirmation: it is made once, and is final.

    The answer never changes (a trigger, ``0023_shared_decisions``). ``settled_at`` says that no undecided run of the
    key is left; runs that come later read the answer themselves.
    """

    saga = models.CharField(max_length=limits.SAGA_NAME)
    name = models.CharField(max_length=limits.STEP_NAME, help_text="The confirmation.")
    key = models.CharField(max_length=limits.DECISION_KEY)
    data = models.JSONField(null=True, help_text="What each run keeps of it; none of a refusal.")
    reason = models.TextField(blank=True, db_default="", help_text="Of a refusal, for operators.")
    message = models.TextField(blank=True, db_default="", help_text="Of a refusal, for customers.")
    decided_by = models.CharField(max_length=limits.WORKER_NAME, blank=True, db_default="")
    decided_at = models.DateTimeField(db_default=Now())
    settled_at = models.DateTimeField(null=True, help_text="When no undecided run of the key was left.")

    class Meta:
        """A key has one decision. The index finds those that are still to be given to runs."""

        verbose_name, verbose_name_plural = _("shared decision"), _("shared decisions")
        constraints = [
            models.UniqueConstraint(name="sagas_decision_once", fields=["saga", "key", "name"]),
            models.CheckConstraint(
                name="sagas_decision_is_one", condition=Q(data__isnull=True) | Q(reason="", message="")
            ),
        ]
        indexes = [models.Index(name="sagas_decision_open", fields=["id"], condition=Q(settled_at__isnull=True))]

    def __str__(self) -> str:
        return f"{self.saga}.{self.name} {self.key}"


class Pause(models.Model):
    """Something that a person has stopped for a while: a run, a saga, a step's participant, or all new starts.

    Rows are the record of it: a trigger (migration ``0031_pauses``) lets nobody change one but to end it, once.
    """

    #: What is paused: "run", "saga", "step" or "starts".
    scope = models.CharField(max_length=limits.PAUSE_SCOPE)
    saga = models.CharField(max_length=limits.SAGA_NAME, blank=True, help_text="None of starts: those of all sagas.")
    step = models.CharField(max_length=limits.STEP_NAME, blank=True)
    run_id = models.UUIDField(null=True)
    since = models.DateTimeField(db_default=Now())
    paused_by = models.CharField(max_length=limits.PERSON_NAME)
    reason = models.TextField()
    ended_at = models.DateTimeField(null=True)
    ended_by = models.CharField(max_length=limits.PERSON_NAME, blank=True, db_default="")
    end_reason = models.TextField(blank=True, db_default="")

    class Meta:
        """What is paused is so once. Claims ask only for those that are open, of which there are few."""

        verbose_name, verbose_name_plural = _("pause"), _("pauses")
        constraints = [
            models.UniqueConstraint(
                name="sagas_pause_once",
                fields=["scope", "saga", "step", "run_id"],
                condition=Q(ended_at__isnull=True),
                nulls_distinct=False,
            ),
        ]
        indexes = [models.Index(name="sagas_pause_run", fields=["run_id"], condition=Q(run_id__isnull=False))]

    def __str__(self) -> str:
        return " ".join(filter(None, (self.scope, self.saga, self.step, str(self.run_id or ""))))


class Lock(models.Model):
    """A run's place in the line at a business key. The lowest ticket holds the key; see ``sagas.store.locks``.

    A trigger (``0006_locks``) deletes the row when the run has ended.
    """

    key = models.CharField(max_length=limits.LOCK_KEY)
    run_id = models.UUIDField()
    family = models.UUIDField(help_text="The run of which this one is a step, or a step of a step; else itself.")
    ticket = models.BigIntegerField()
    since = models.DateTimeField(db_default=Now())

    class Meta:
        """One index for the lines, and one for the places of a run."""

        verbose_name, verbose_name_plural = _("lock"), _("locks")
        constraints = [models.UniqueConstraint(name="sagas_lock_once", fields=["run_id", "key"])]
        indexes = [models.Index(name="sagas_lock_line", fields=["key", "ticket"])]

    def __str__(self) -> str:
        return f"{self.run_id} at {self.key}"


class Escalation(models.Model):
    """An escalation: why a run needs a person, what to do, who is responsible, and how it was resolved.

    Until a person has acknowledged it, ``notify_at`` says when the next notice is published. So a lost message, or a
    broker or a notifier that is down, only costs time.
    """

    run = models.ForeignKey(Run, on_delete=models.PROTECT, related_name="escalations")
    #: The state from which the run was escalated, and in which ``resume`` continues it.
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
        """A run has at most one open escalation, and notices go out until a person has seen it."""

        verbose_name, verbose_name_plural = _("escalation"), _("escalations")
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
            # A resumed run continues in this state.
            models.CheckConstraint(name="sagas_escalation_of_live", condition=Q(state__in=sorted(LIVE))),
        ]
        indexes = [
            models.Index(name="sagas_escalation_notify", fields=["notify_at"], condition=Q(notify_at__isnull=False)),
        ]

    def __str__(self) -> str:
        return f"{self.run_id} at {self.step or self.state}"


class Breaker(models.Model):
    """An open or closed breaker. While it is open, runs that fail at the participant are escalated at once.

    One run at a time is let through as a probe.
    """

    #: The saga's name, a dot, and the step's name.
    participant = models.CharField(max_length=limits.STEP_OF_SAGA, primary_key=True)
    step = models.CharField(max_length=limits.STEP_NAME)
    opened_at = models.DateTimeField()
    closed_at = models.DateTimeField(null=True, help_text="When a probe succeeded; none while it is open.")
    probe_at = models.DateTimeField(help_text="When the next probe may go.")
    probe_run = models.UUIDField(null=True, help_text="The last probe.")
    probe_operation = models.CharField(max_length=limits.OPERATION, blank=True)
    failed = models.PositiveIntegerField(help_text="Retried operations that failed in the last window, at the opening.")
    retried = models.PositiveIntegerField(help_text="Retried operations that were looked at then.")

    class Meta:
        verbose_name, verbose_name_plural = _("breaker"), _("breakers")

    def __str__(self) -> str:
        return self.participant


class BreakerSample(models.Model):
    """How many retried operations of a participant succeeded and failed in one transaction. Rows are only inserted."""

    participant = models.CharField(max_length=limits.STEP_OF_SAGA)
    at = models.DateTimeField(db_default=Now())
    succeeded = models.PositiveIntegerField()
    failed = models.PositiveIntegerField()

    class Meta:
        """The latest samples of a participant are read."""

        indexes = [models.Index(name="sagas_sample_latest", fields=["participant", "at"])]

    def __str__(self) -> str:
        return f"{self.participant}: {self.failed} of {self.succeeded + self.failed} failed"


class WaitingEvent(models.Model):
    """The columns of a domain event, wherever it waits."""

    run_id = models.UUIDField()
    name = models.CharField(max_length=limits.EVENT_NAME)
    saga = models.CharField(max_length=limits.SAGA_NAME)
    version = models.PositiveSmallIntegerField()
    step = models.CharField(max_length=limits.STEP_NAME, blank=True)
    business_key = models.CharField(max_length=limits.BUSINESS_KEY, blank=True)
    trace_id = models.UUIDField()
    trace_parent = models.TextField(null=True)  # noqa: DJ001 - NULL takes no room
    occurred_at = models.DateTimeField()
    data = models.JSONField(null=True)

    class Meta:
        abstract = True


class Outbox(WaitingEvent):
    """A domain event on its way to RabbitMQ. It is inserted with its log entry, and deleted on RabbitMQ's confirm."""

    pk = models.CompositePrimaryKey("run_id", "position")
    position = models.PositiveIntegerField(help_text="In the run's history, from 1, without a gap.")
    attempt = models.PositiveSmallIntegerField(default=0, help_text="How often RabbitMQ has refused it.")
    due_at = models.DateTimeField(help_text="When it is published, or tried again.")

    class Meta:
        """The primary key finds the first event of a run, and proves that each position is used once."""

        indexes = [models.Index(name="sagas_outbox_due", fields=["due_at"])]

    def __str__(self) -> str:
        return f"{self.run_id}:{self.position} {self.name}"


class Inbox(models.Model):
    """An event that a consumer in this database has handled. A second copy of it is ignored."""

    pk = models.CompositePrimaryKey("consumer", "event_id")
    consumer = models.CharField(max_length=limits.CONSUMER_NAME)
    event_id = models.CharField(max_length=limits.EVENT_ID)
    received_at = models.DateTimeField(db_default=Now())

    class Meta:
        """The index finds old rows."""

        indexes = [models.Index(name="sagas_inbox_received", fields=["received_at"])]
        verbose_name_plural = "inbox"

    def __str__(self) -> str:
        return f"{self.event_id} by {self.consumer}"


class QueuedEvent(WaitingEvent):
    """A domain event that waits for one listener of this project, where there is no broker; deleted when taken."""

    pk = models.CompositePrimaryKey("listener", "run_id", "position")
    listener = models.CharField(max_length=limits.CONSUMER_NAME)
    position = models.PositiveIntegerField(help_text="In the run's history, from 1.")
    attempt = models.PositiveSmallIntegerField(default=0, help_text="How often it was given to the listener.")
    due_at = models.DateTimeField(help_text="When it is given to the listener, or given again.")
    error = models.TextField(blank=True, help_text="The class of the error at the last attempt.")
    dead_at = models.DateTimeField(null=True, help_text="When it was set aside; nobody gives it to the listener again.")

    class Meta:
        """The first index finds what is due; the second one, all of a run."""

        indexes = [
            models.Index(name="sagas_queued_due", fields=["due_at"], condition=models.Q(dead_at=None)),
            models.Index(name="sagas_queued_run", fields=["run_id"]),
        ]

    def __str__(self) -> str:
        return f"{self.run_id}:{self.position} {self.name} for {self.listener}"


class Worker(models.Model):
    """The last heartbeat of a worker's main process, for people; see ``sagas.delivery.heartbeat``."""

    name = models.CharField(max_length=limits.WORKER_NAME, primary_key=True)
    beat_at = models.DateTimeField(help_text="When it was last heard of.")
    ticked_at = models.DateTimeField(null=True, help_text="When it last asked for a dispatch on a tick.")
    delivered_at = models.DateTimeField(null=True, help_text="When it last began to work on a delivery.")
    busy = models.PositiveIntegerField(default=0, help_text="Deliveries that were being worked on.")
    busy_since = models.DateTimeField(null=True, help_text="Since when on the first of them.")
    queues = models.TextField(blank=True, help_text="What it consumes, separated by commas.")
    stalled_at = models.DateTimeField(null=True, help_text="Since when messages wait of which it has got none.")

    def __str__(self) -> str:
        return self.name


class Measurement(models.Model):
    """What processes have counted of one metric's series in one minute; see ``sagas.store.measurements``.

    All rows of a series together are its counter. Those of old minutes are added to one row, whose ``minute`` is
    ``store.measurements.BASE``.
    """

    pk = models.CompositePrimaryKey("name", "labels", "layout", "shard", "minute")
    name = models.CharField(max_length=limits.METRIC_NAME)
    labels = models.CharField(max_length=limits.METRIC_LABELS, help_text="The values of its labels, a JSON array.")
    layout = models.IntegerField(help_text="Which buckets a histogram has; 0 of a counter.")
    shard = models.PositiveSmallIntegerField(help_text="Processes of other shards do not wait for this row.")
    minute = models.DateTimeField()
    # Exact: a sum of doubles depends on the order of its rows, and could be less than it was.
    value = models.DecimalField(
        max_digits=38, decimal_places=9, help_text="Of a counter the number, of a histogram the sum of its values."
    )
    buckets = BigIntegers(null=True, help_text="Of a histogram, how many values each bucket has.")

    def __str__(self) -> str:
        return f"{self.name}{self.labels}"


class LevelCursor(models.Model):
    """How far the service levels are counted along the log's ids; see ``sagas.store.service_levels``. One row."""

    id = models.SmallIntegerField(primary_key=True, default=1)
    since = models.DateTimeField(help_text="Runs that ended before are not counted.")
    after = models.BigIntegerField(help_text="Rows of the log up to this id are counted.")
    upto = models.BigIntegerField(null=True, help_text="Up to which id they are counted next; none while none is set.")
    armed_at = models.DateTimeField(null=True, help_text="When that was set.")
    horizon = models.BigIntegerField(
        null=True, help_text="No transaction before this one may be open when they are counted."
    )
    folded_at = models.DateTimeField(db_default=Now(), help_text="When old minutes were last added up to hours.")
    judged_at = models.DateTimeField(null=True, help_text="When it was last judged what burns.")
    judged_after = models.BigIntegerField(null=True, help_text="How far the log was counted then.")

    class Meta:
        constraints = [models.CheckConstraint(name="sagas_levelcursor_is_one", condition=Q(id=1))]

    def __str__(self) -> str:
        return f"service levels after {self.after}"


class CountedRun(models.Model):
    """A run that the service levels have counted: it is not counted again. Deleted with the run."""

    run_id = models.UUIDField(primary_key=True)

    def __str__(self) -> str:
        return f"{self.run_id}"


class LevelMinute(models.Model):
    """How many runs, or stays in a stage, one minute had, by outcome and by how long they took."""

    pk = models.CompositePrimaryKey("saga", "subject", "minute", "name", "outcome", "bucket")
    saga = models.CharField(max_length=limits.SAGA_NAME)
    subject = models.CharField(max_length=12, help_text='"objective", "stage", "run" or "undo".')
    minute = models.DateTimeField(help_text="Of minutes that are over a week old, the hour.")
    name = models.CharField(max_length=80, blank=True, help_text="Of the objective, or of the stage.")
    outcome = models.CharField(max_length=limits.STATE)
    bucket = models.SmallIntegerField(help_text="How many of the bounds the time had reached.")
    number = models.BigIntegerField()
    seconds = models.FloatField(help_text="The sum of the times.")

    def __str__(self) -> str:
        return f"{self.saga} {self.subject} {self.name} {self.outcome}"


class LevelExample(models.Model):
    """Faults, or bad runs, of one kind and one minute: how many, and one run that has it. Kept for a week."""

    pk = models.CompositePrimaryKey("saga", "subject", "minute", "fingerprint")
    saga = models.CharField(max_length=limits.SAGA_NAME)
    subject = models.CharField(max_length=12, help_text='"fault" or "objective".')
    minute = models.DateTimeField()
    fingerprint = models.UUIDField(help_text="Of the name, the code and the text.")
    name = models.CharField(max_length=80, help_text="The step and operation, or the objective.")
    code = models.CharField(max_length=limits.CODE, help_text="The exception's class; of a run, how it was bad.")
    text = models.CharField(max_length=limits.FINGERPRINT, blank=True, help_text="Without numbers and ids.")
    number = models.BigIntegerField()
    run_id = models.UUIDField(help_text="The latest run that has it.")

    def __str__(self) -> str:
        return f"{self.saga} {self.name} {self.code}"


class BurnIncident(models.Model):
    """A time in which the error budget of an objective was spent too fast; see ``sagas.store.burn_rates``.

    ``notify_at`` says when people are told next: that it burns, that it burns faster, or that it is over. ``revision``
    counts what there is to tell, and ``told`` is what was told.
    """

    saga = models.CharField(max_length=limits.SAGA_NAME)
    objective = models.CharField(max_length=limits.STEP_NAME)
    pair = models.SmallIntegerField(help_text="The fastest pair of windows that has burned, 0 first.")
    since = models.DateTimeField(help_text="The first minute with a bad run.")
    opened_at = models.DateTimeField(db_default=Now())
    burning_at = models.DateTimeField(help_text="When it was last seen to burn.")
    closed_at = models.DateTimeField(null=True)
    burn_long = models.FloatField(help_text="How many times too fast, over the longer window.")
    burn_short = models.FloatField(help_text="Over the shorter one.")
    bad = models.BigIntegerField(help_text="Bad runs in the longer window.")
    runs = models.BigIntegerField(help_text="All runs in it.")
    stage = models.CharField(max_length=80, blank=True, help_text="Where the time was lost; empty if nowhere.")
    stage_since = models.DateTimeField(null=True)
    evidence = models.JSONField(help_text="The stage's times, the top errors, and bad runs.")
    revision = models.IntegerField(default=1)
    told = models.IntegerField(default=0)
    notices = models.IntegerField(default=0, help_text="How often this was published in vain.")
    notify_at = models.DateTimeField(null=True)
    sending_until = models.DateTimeField(null=True, help_text="Until when a process may be sending it.")

    class Meta:
        """An objective has at most one open incident."""

        constraints = [
            models.UniqueConstraint(
                name="sagas_burn_one_open", fields=["saga", "objective"], condition=Q(closed_at__isnull=True)
            )
        ]
        indexes = [
            models.Index(name="sagas_burn_notify", fields=["notify_at"], condition=Q(notify_at__isnull=False)),
            models.Index(name="sagas_burn_latest", fields=["saga", "opened_at"]),
        ]

    def __str__(self) -> str:
        return f"{self.saga} {self.objective}"


class Horizon(models.Model):
    """How far back a saga's runs may be gone: none of them was pruned that ended at ``before`` or later.

    It only moves forward (a trigger, ``0015_retention``). An id that is older is not given to a new run.
    """

    saga = models.CharField(max_length=limits.SAGA_NAME, primary_key=True)
    before = models.DateTimeField(help_text="Runs that ended before may be gone.")

    def __str__(self) -> str:
        return f"{self.saga} before {self.before:%Y-%m-%d}"


class Tombstone(models.Model):
    """A pruned run of which the id does not show that it is behind its saga's horizon: no UUIDv7, or one of a child."""

    run_id = models.UUIDField(primary_key=True)
    pruned_at = models.DateTimeField(db_default=Now())

    def __str__(self) -> str:
        return f"{self.run_id}"


class Pruning(models.Model):
    """How far a pass over the runs has come, in a part of their ids; see ``sagas.retention.pruning``."""

    part = models.CharField(max_length=limits.STATE, primary_key=True)
    after = models.UUIDField(help_text="The last run that was looked at.")
    next_at = models.DateTimeField(db_default=Now(), help_text="When a tick goes on.")

    def __str__(self) -> str:
        return f"{self.part} after {self.after}"


class Barrier(models.Model):
    """In another database: the row by which an operation takes effect once. See ``sagas.engine.outside.barrier``.

    It is inserted in the transaction of the effect. Its key is the idempotency key, ``<run>:<step>:<operation>``.
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
        return f"{self.run_id}:{self.step}:{self.operation} {self.outcome}"
