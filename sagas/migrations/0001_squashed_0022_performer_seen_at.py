"""All tables of the first release, and their guards. It replaces the 22 migrations that led there.

Databases in which all or some of those are applied go on with them; a new database is made by this one. Both end with the
same schema: a test compares them. In other databases than the engine's, ``BarrierRouter`` lets only the barrier be made.
"""

import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import NotSupportedError, migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import StateApps

import sagas.states

STORAGE = """
-- A run's row is rewritten at every step: room on its page keeps updates that leave its due time alone off the indexes.
ALTER TABLE sagas_run SET (autovacuum_vacuum_scale_factor = 0.05, fillfactor = 85);
-- The log's one index is that which proves that effects happen once. Without a primary key, logical replication of
-- deletions needs the whole row.
ALTER TABLE sagas_log DROP CONSTRAINT sagas_log_pkey;
ALTER TABLE sagas_log REPLICA IDENTITY FULL;
"""

# Guards that no hand can pass by. The tables of transitions are written out here, frozen, as a migration must be; tests
# hold them to ``sagas.states``.
RUN_GUARDS = """
-- The transition table. A run that goes over the point of no return has all its confirmations, as far as its definition
-- is on record. Behind CONFIRMING nobody need ask again, and what a person resolves is the person's.
CREATE FUNCTION sagas_run_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (OLD.state, NEW.state) IN (
        ('PENDING', 'EXECUTING'), ('PENDING', 'COMPENSATING'), ('PENDING', 'ESCALATED'),
        ('EXECUTING', 'AWAITING_CONFIRM'), ('EXECUTING', 'CONFIRMING'), ('EXECUTING', 'SUCCEEDED'),
        ('EXECUTING', 'COMPENSATING'), ('EXECUTING', 'ESCALATED'),
        ('AWAITING_CONFIRM', 'CONFIRMING'), ('AWAITING_CONFIRM', 'COMPENSATING'),
        ('AWAITING_CONFIRM', 'ESCALATED'),
        ('CONFIRMING', 'SUCCEEDED'), ('CONFIRMING', 'ESCALATED'),
        ('COMPENSATING', 'FAILED'), ('COMPENSATING', 'ESCALATED'),
        ('ESCALATED', 'PENDING'), ('ESCALATED', 'EXECUTING'), ('ESCALATED', 'AWAITING_CONFIRM'),
        ('ESCALATED', 'CONFIRMING'), ('ESCALATED', 'COMPENSATING'),
        ('ESCALATED', 'SUCCEEDED'), ('ESCALATED', 'FAILED')
    ) THEN
        IF NEW.state = 'CONFIRMING' OR (OLD.state = 'EXECUTING' AND NEW.state = 'SUCCEEDED') THEN
            PERFORM FROM (
                SELECT c->>'name' AS name FROM sagas_definition AS d, jsonb_array_elements(d.body->'confirmations') AS c
                WHERE d.saga = NEW.saga AND d.version = NEW.version AND d.shape = NEW.shape
                UNION ALL SELECT '@parent' WHERE NEW.parent_id IS NOT NULL
            ) AS wanted WHERE NOT EXISTS (
                SELECT FROM sagas_confirmation AS came WHERE came.run_id = NEW.id AND came.name = wanted.name
            );
            IF FOUND THEN
                RAISE EXCEPTION 'run % cannot become % without its confirmations', NEW.id, NEW.state
                    USING ERRCODE = 'check_violation';
            END IF;
        END IF;
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'a run in % cannot become %', OLD.state, NEW.state USING ERRCODE = 'check_violation';
END $$;

-- WHEN keeps the function off the hot path: most updates of a run leave its state alone.
CREATE TRIGGER sagas_run_guard BEFORE UPDATE OF state ON sagas_run
    FOR EACH ROW WHEN (OLD.state IS DISTINCT FROM NEW.state) EXECUTE FUNCTION sagas_run_guard();

-- The cursor goes the way of its state: forward step by step (a fork at once, and as many steps as a statement says in
-- sagas.steps that has written their log), back by any number of steps that have nothing to undo. Nothing moves behind
-- a run's end, nor while a person has the run, but to give back what has come from outside. The condition is in the
-- function, and not in WHEN, because PostgreSQL plans that at each statement.
CREATE FUNCTION sagas_run_cursor() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT (CASE OLD.state
        WHEN 'EXECUTING' THEN CASE
            WHEN NEW.state IN ('EXECUTING', 'AWAITING_CONFIRM') THEN
                NEW.cursor = OLD.cursor + 1 + bit_count(OLD.fork::bit(64))
                OR (OLD.fork = 0
                    AND (NEW.cursor - OLD.cursor)::text = COALESCE(current_setting('sagas.steps', true), ''))
            WHEN NEW.state = 'COMPENSATING' THEN NEW.cursor < OLD.cursor
            ELSE NEW.state <> 'ESCALATED' END
        WHEN 'AWAITING_CONFIRM' THEN CASE NEW.state
            WHEN 'COMPENSATING' THEN NEW.cursor < OLD.cursor
            ELSE NEW.state = 'CONFIRMING' END
        WHEN 'CONFIRMING' THEN NEW.state IN ('CONFIRMING', 'SUCCEEDED') AND NEW.cursor > OLD.cursor
        WHEN 'COMPENSATING' THEN NEW.state IN ('COMPENSATING', 'FAILED') AND NEW.cursor < OLD.cursor
        WHEN 'ESCALATED' THEN NEW.state = 'COMPENSATING' AND NEW.cursor = 0 AND NEW.fork <> 0
        ELSE false END)
    THEN
        RAISE EXCEPTION 'the cursor of a run in % (now %) cannot go from % to %',
            OLD.state, NEW.state, OLD.cursor, NEW.cursor USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER sagas_run_cursor BEFORE UPDATE OF cursor ON sagas_run
    FOR EACH ROW WHEN (OLD.cursor <> NEW.cursor) EXECUTE FUNCTION sagas_run_cursor();

-- WHEN keeps the function away from runs that lock nothing. Lines are left when a run is final, by whatever hand.
CREATE FUNCTION sagas_run_unlock() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.state IN ('SUCCEEDED', 'FAILED') AND OLD.state <> NEW.state THEN
        DELETE FROM sagas_lock WHERE run_id = NEW.id;
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER sagas_run_unlock AFTER UPDATE OF state ON sagas_run
    FOR EACH ROW WHEN (NEW.locked) EXECUTE FUNCTION sagas_run_unlock();

-- What a run holds while it is not final would be held for ever.
CREATE FUNCTION sagas_run_delete() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'run % is %, and may hold something: it cannot be deleted', OLD.id, OLD.state
        USING ERRCODE = 'check_violation';
END $$;

CREATE TRIGGER sagas_run_delete BEFORE DELETE ON sagas_run
    FOR EACH ROW WHEN (OLD.state NOT IN ('PENDING', 'SUCCEEDED', 'FAILED')) EXECUTE FUNCTION sagas_run_delete();

-- At the COMMIT a run is ESCALATED exactly if it has an open escalation: without, it can be neither resumed nor
-- resolved, and nobody is told.
CREATE FUNCTION sagas_escalation_guard() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    which uuid;
    stands text;
BEGIN
    IF TG_TABLE_NAME = 'sagas_run' THEN
        which := NEW.id;
    ELSIF TG_OP = 'DELETE' THEN
        which := OLD.run_id;
    ELSE
        which := NEW.run_id;
    END IF;
    SELECT state INTO stands FROM sagas_run WHERE id = which;
    IF stands = 'ESCALATED' AND NOT EXISTS (
        SELECT FROM sagas_escalation WHERE run_id = which AND resolved_at IS NULL
    ) THEN
        RAISE EXCEPTION 'run % is ESCALATED, and would have no open escalation', which
            USING ERRCODE = 'check_violation';
    ELSIF stands <> 'ESCALATED' AND EXISTS (
        SELECT FROM sagas_escalation WHERE run_id = which AND resolved_at IS NULL
    ) THEN
        RAISE EXCEPTION 'run % is %, and would have an open escalation', which, stands
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;

CREATE CONSTRAINT TRIGGER sagas_run_escalated AFTER UPDATE OF state ON sagas_run
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    WHEN ((OLD.state = 'ESCALATED') <> (NEW.state = 'ESCALATED')) EXECUTE FUNCTION sagas_escalation_guard();
CREATE CONSTRAINT TRIGGER sagas_escalation_of_escalated AFTER INSERT OR DELETE OR UPDATE OF resolved_at, run_id
    ON sagas_escalation DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION sagas_escalation_guard();

-- A confirmation that came has come. As in the log, what is personal in it may be erased once the run is final.
CREATE FUNCTION sagas_confirmation_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM sagas_run WHERE id = OLD.run_id AND state NOT IN ('SUCCEEDED', 'FAILED')) THEN
        IF TG_OP = 'DELETE' THEN
            RETURN OLD;
        ELSIF current_setting('sagas.erase', true) = 'on' AND to_jsonb(NEW) - 'data' = to_jsonb(OLD) - 'data' THEN
            RETURN NEW;
        END IF;
    END IF;
    RAISE EXCEPTION 'confirmation % of run % has come, and stays', OLD.name, OLD.run_id
        USING ERRCODE = 'check_violation';
END $$;

CREATE TRIGGER sagas_confirmation_guard BEFORE UPDATE OR DELETE ON sagas_confirmation
    FOR EACH ROW EXECUTE FUNCTION sagas_confirmation_guard();

-- Row triggers do not see a TRUNCATE. One of all tables, as tests do it, leaves no run behind that could miss anything.
CREATE FUNCTION sagas_truncate_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM sagas_run) THEN
        RAISE EXCEPTION '% cannot be truncated while there are runs', TG_TABLE_NAME USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER sagas_log_truncate AFTER TRUNCATE ON sagas_log
    FOR EACH STATEMENT EXECUTE FUNCTION sagas_truncate_guard();
CREATE TRIGGER sagas_confirmation_truncate AFTER TRUNCATE ON sagas_confirmation
    FOR EACH STATEMENT EXECUTE FUNCTION sagas_truncate_guard();
CREATE TRIGGER sagas_escalation_truncate AFTER TRUNCATE ON sagas_escalation
    FOR EACH STATEMENT EXECUTE FUNCTION sagas_truncate_guard();
CREATE TRIGGER sagas_definition_truncate AFTER TRUNCATE ON sagas_definition
    FOR EACH STATEMENT EXECUTE FUNCTION sagas_truncate_guard();
CREATE TRIGGER sagas_lock_truncate AFTER TRUNCATE ON sagas_lock
    FOR EACH STATEMENT EXECUTE FUNCTION sagas_truncate_guard();

-- No run is moved or confirmed at another isolation level than READ COMMITTED, by whatever way a session came to it.
-- There a statement sees what was committed while the one before it waited for a lock, which is how a confirmation and
-- its deadline find out who was first.
CREATE FUNCTION sagas_read_committed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'runs are moved and confirmed at READ COMMITTED; this transaction is at %',
        upper(current_setting('transaction_isolation'))
        USING ERRCODE = 'inappropriate_isolation_level_for_branch_transaction';
END $$;

CREATE TRIGGER sagas_run_read_committed BEFORE UPDATE ON sagas_run FOR EACH STATEMENT
    WHEN (current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted'))
    EXECUTE FUNCTION sagas_read_committed();

CREATE TRIGGER sagas_confirmation_read_committed BEFORE INSERT ON sagas_confirmation FOR EACH STATEMENT
    WHEN (current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted'))
    EXECUTE FUNCTION sagas_read_committed();
"""

LOG_GUARDS = """
-- The log is append-only, with two holes. A transaction that says so may rewrite data, and nothing else, in the rows of
-- a finished run, to erase what is personal. And a pruning may delete rows of runs that have ended, behind the horizon.
CREATE FUNCTION sagas_log_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND current_setting('sagas.erase', true) = 'on'
        AND to_jsonb(NEW) - 'data' = to_jsonb(OLD) - 'data' AND NEW.data IS NOT NULL AND OLD.data IS NOT NULL
        AND EXISTS (SELECT 1 FROM sagas_run WHERE id = OLD.run_id AND state IN ('SUCCEEDED', 'FAILED'))
    THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'the saga log is append-only' USING ERRCODE = 'check_violation';
END $$;

CREATE TRIGGER sagas_log_guard BEFORE UPDATE ON sagas_log
    FOR EACH ROW EXECUTE FUNCTION sagas_log_guard();

CREATE FUNCTION sagas_log_delete() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    which uuid;
BEGIN
    -- A child goes with its family, whose root is behind the horizon of another saga.
    SELECT removed.run_id INTO which FROM (SELECT DISTINCT run_id FROM gone) AS removed
    LEFT JOIN sagas_run AS run ON run.id = removed.run_id
    WHERE current_setting('sagas.prune', true) IS DISTINCT FROM 'on' OR run.id IS NULL
        OR run.state NOT IN ('SUCCEEDED', 'FAILED')
        OR run.finished_at >= COALESCE((SELECT max(before) FROM sagas_horizon AS horizon
            WHERE run.parent_id IS NOT NULL OR horizon.saga = run.saga), '-infinity')
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'the saga log is append-only: it has no rows to delete of run %', which
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER sagas_log_delete AFTER DELETE ON sagas_log REFERENCING OLD TABLE AS gone
    FOR EACH STATEMENT EXECUTE FUNCTION sagas_log_delete();

-- Ids behind a horizon are given to no new run: one that went back would let a run be done again. What has ended within
-- a day is never behind it, whoever says so.
CREATE FUNCTION sagas_horizon_guard() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' OR NEW.before > clock_timestamp() - interval '1 day'
        OR (TG_OP = 'UPDATE' AND (NEW.saga <> OLD.saga OR NEW.before < OLD.before)) THEN
        RAISE EXCEPTION 'the horizon of % only moves forward, and stays a day behind',
            CASE TG_OP WHEN 'DELETE' THEN OLD.saga ELSE NEW.saga END USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER sagas_horizon_guard BEFORE INSERT OR UPDATE OR DELETE ON sagas_horizon
    FOR EACH ROW EXECUTE FUNCTION sagas_horizon_guard();

CREATE TRIGGER sagas_horizon_truncate AFTER TRUNCATE ON sagas_horizon
    FOR EACH STATEMENT EXECUTE FUNCTION sagas_truncate_guard();
CREATE TRIGGER sagas_tombstone_truncate AFTER TRUNCATE ON sagas_tombstone
    FOR EACH STATEMENT EXECUTE FUNCTION sagas_truncate_guard();
"""

# CASCADE: with their triggers. The tables go after them.
NO_GUARDS = """
DROP FUNCTION
    sagas_confirmation_guard(),
    sagas_escalation_guard(),
    sagas_horizon_guard(),
    sagas_log_delete(),
    sagas_log_guard(),
    sagas_read_committed(),
    sagas_run_cursor(),
    sagas_run_delete(),
    sagas_run_guard(),
    sagas_run_unlock(),
    sagas_truncate_guard()
    CASCADE
"""


def refuse_other_databases(_apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Say so here: the tables would be made, and the first trigger then fail as a syntax error."""
    if schema_editor.connection.vendor != "postgresql":
        database = f"the database {schema_editor.connection.alias!r} is {schema_editor.connection.vendor}"
        msg = f"the engine needs PostgreSQL, and {database}: set DATABASES, of the tests too"
        raise NotSupportedError(msg)


class Migration(migrations.Migration):
    """Make everything."""

    initial = True
    replaces = [
        ("sagas", "0001_initial"),
        ("sagas", "0002_guards"),
        ("sagas", "0003_escalation"),
        ("sagas", "0004_branches"),
        ("sagas", "0005_outbox"),
        ("sagas", "0006_locks"),
        ("sagas", "0007_intent"),
        ("sagas", "0008_data"),
        ("sagas", "0009_barrier"),
        ("sagas", "0010_integrity"),
        ("sagas", "0011_workers"),
        ("sagas", "0012_resolved"),
        ("sagas", "0013_read_committed"),
        ("sagas", "0014_held"),
        ("sagas", "0015_retention"),
        ("sagas", "0016_steps"),
        ("sagas", "0017_narrow_log"),
        ("sagas", "0018_effect_once"),
        ("sagas", "0019_queued_events"),
        ("sagas", "0020_failed"),
        ("sagas", "0021_light_guards"),
        ("sagas", "0022_performer_seen_at"),
    ]
    dependencies = []

    operations = [
        migrations.RunPython(refuse_other_databases, migrations.RunPython.noop),
        migrations.CreateModel(
            name="Run",
            fields=[
                ("id", models.UUIDField(primary_key=True, serialize=False)),
                ("saga", models.CharField(max_length=100)),
                ("version", models.PositiveSmallIntegerField()),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("PENDING", "PENDING"),
                            ("EXECUTING", "EXECUTING"),
                            ("AWAITING_CONFIRM", "AWAITING_CONFIRM"),
                            ("CONFIRMING", "CONFIRMING"),
                            ("COMPENSATING", "COMPENSATING"),
                            ("ESCALATED", "ESCALATED"),
                            ("SUCCEEDED", "SUCCEEDED"),
                            ("FAILED", "FAILED"),
                        ],
                        default=sagas.states.State["PENDING"],
                        max_length=16,
                    ),
                ),
                ("cursor", models.PositiveSmallIntegerField(default=0)),
                (
                    "attempt",
                    models.PositiveSmallIntegerField(
                        default=0, help_text="Attempts of the operation at the cursor that have failed."
                    ),
                ),
                (
                    "claims",
                    models.PositiveSmallIntegerField(
                        default=0, help_text="How often the dispatcher has claimed the run since it last made progress."
                    ),
                ),
                ("business_key", models.CharField(blank=True, max_length=64)),
                ("request", models.JSONField()),
                ("results", models.JSONField(default=dict)),
                ("reason", models.JSONField(help_text="Why the run is being undone.", null=True)),
                ("trace_id", models.UUIDField()),
                ("created_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("started_at", models.DateTimeField(help_text="When the dispatcher first claimed it.", null=True)),
                (
                    "deadline",
                    models.DateTimeField(help_text="When the next missing confirmation is too late.", null=True),
                ),
                ("due_at", models.DateTimeField(help_text="When the dispatcher looks at it again.", null=True)),
                ("finished_at", models.DateTimeField(null=True)),
                ("fork", models.BigIntegerField(db_default=0)),
                ("parent_id", models.UUIDField(help_text="The run of which this is one step.", null=True)),
                ("parent_step", models.CharField(help_text="Which step of it.", max_length=48, null=True)),
                (
                    "pending",
                    models.JSONField(
                        help_text="By step: what was begun and not answered, or waits for its next attempt, and until when.",
                        null=True,
                    ),
                ),
                (
                    "events",
                    models.PositiveIntegerField(
                        editable=False,
                        help_text="How many events it has written to the outbox; none if it publishes none.",
                        null=True,
                    ),
                ),
                (
                    "locked",
                    models.BooleanField(
                        db_default=False, help_text="Whether it locks business keys while it is not final."
                    ),
                ),
                (
                    "shape",
                    models.IntegerField(
                        db_default=0, default=0, help_text="Which of the definition's shapes it follows."
                    ),
                ),
                (
                    "held_until",
                    models.DateTimeField(
                        help_text="Until when no deadline and no time-out turns it back: the database was restored.",
                        null=True,
                    ),
                ),
            ],
            options={
                "indexes": [
                    models.Index(
                        condition=models.Q(("due_at__isnull", False)), fields=["due_at"], name="sagas_run_due"
                    ),
                    models.Index(fields=["business_key"], name="sagas_run_business_key"),
                    models.Index(
                        condition=models.Q(("parent_id__isnull", False)), fields=["parent_id"], name="sagas_run_parent"
                    ),
                    models.Index(
                        condition=models.Q(("state", sagas.states.State["FAILED"])),
                        fields=["id"],
                        name="sagas_run_failed",
                    ),
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(
                                ("due_at__isnull", False),
                                (
                                    "state__in",
                                    [
                                        sagas.states.State["AWAITING_CONFIRM"],
                                        sagas.states.State["COMPENSATING"],
                                        sagas.states.State["CONFIRMING"],
                                        sagas.states.State["EXECUTING"],
                                        sagas.states.State["PENDING"],
                                    ],
                                ),
                            ),
                            models.Q(
                                models.Q(
                                    (
                                        "state__in",
                                        [
                                            sagas.states.State["AWAITING_CONFIRM"],
                                            sagas.states.State["COMPENSATING"],
                                            sagas.states.State["CONFIRMING"],
                                            sagas.states.State["EXECUTING"],
                                            sagas.states.State["PENDING"],
                                        ],
                                    ),
                                    _negated=True,
                                ),
                                ("due_at__isnull", True),
                            ),
                            _connector="OR",
                        ),
                        name="sagas_run_live_is_due",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="Performer",
            fields=[
                ("id", models.AutoField(primary_key=True, serialize=False)),
                ("worker", models.CharField(blank=True, max_length=100)),
                ("compensate", models.CharField(blank=True, help_text="Who undoes the effect.", max_length=200)),
                (
                    "seen_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(),
                        help_text="When its worker last looked whether it is on record.",
                    ),
                ),
            ],
            options={
                "constraints": [models.UniqueConstraint(fields=("worker", "compensate"), name="sagas_performer_once")],
                "indexes": [],
            },
        ),
        migrations.CreateModel(
            name="Log",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("run_id", models.UUIDField()),
                ("step", models.CharField(blank=True, max_length=48)),
                ("operation", models.CharField(max_length=16)),
                (
                    "outcome",
                    models.CharField(
                        choices=[
                            ("DONE", "Done"),
                            ("REJECTED", "Rejected"),
                            ("FAULT", "Fault"),
                            ("ACCEPTED", "Accepted"),
                            ("INTENT", "Intent"),
                            ("EVENT", "Event"),
                        ],
                        max_length=8,
                    ),
                ),
                ("attempt", models.PositiveSmallIntegerField(default=1)),
                ("at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                (
                    "duration_us",
                    models.PositiveIntegerField(
                        default=0,
                        help_text="Microseconds in the participant, for the whole cohort where it is set-based.",
                    ),
                ),
                (
                    "worker",
                    models.CharField(
                        blank=True,
                        help_text="Of a row without a performer, and of an event the person.",
                        max_length=100,
                        null=True,
                    ),
                ),
                (
                    "trace_id",
                    models.UUIDField(help_text="Only in rows of earlier versions: it is that of the run.", null=True),
                ),
                (
                    "compensate",
                    models.CharField(
                        blank=True,
                        help_text="Who undoes this effect; of a row without a performer.",
                        max_length=200,
                        null=True,
                    ),
                ),
                ("data", models.JSONField(help_text="Result or error.", null=True)),
                (
                    "performer",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="sagas.performer",
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        models.F("run_id"),
                        models.Case(
                            models.When(
                                outcome="DONE",
                                then=models.Func(
                                    models.F("step"),
                                    models.F("operation"),
                                    arg_joiner=" || ' ' || ",
                                    output_field=models.BigIntegerField(),
                                    template="hashtextextended(%(expressions)s, 0)",
                                ),
                            )
                        ),
                        name="sagas_log_effect_once",
                    )
                ],
                "indexes": [],
            },
        ),
        migrations.CreateModel(
            name="Confirmation",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("run_id", models.UUIDField()),
                ("name", models.CharField(max_length=48)),
                ("data", models.JSONField()),
                ("received_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
            ],
            options={
                "constraints": [models.UniqueConstraint(fields=("run_id", "name"), name="sagas_confirmation_once")],
                "indexes": [],
            },
        ),
        migrations.CreateModel(
            name="Definition",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("saga", models.CharField(max_length=100)),
                ("version", models.PositiveSmallIntegerField()),
                ("shape", models.IntegerField()),
                ("body", models.JSONField(help_text="Steps, their operations and queues, and confirmations.")),
                ("created_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("saga", "version", "shape"), name="sagas_definition_once")
                ],
                "indexes": [],
            },
        ),
        migrations.CreateModel(
            name="Escalation",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("state", models.CharField(max_length=16)),
                ("step", models.CharField(blank=True, max_length=48)),
                ("operation", models.CharField(blank=True, max_length=16)),
                ("error", models.JSONField()),
                ("created_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("resolved_at", models.DateTimeField(null=True)),
                ("resolution", models.CharField(blank=True, max_length=16)),
                ("resolved_by", models.CharField(blank=True, max_length=150)),
                ("note", models.TextField(blank=True)),
                (
                    "run",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="escalations", to="sagas.run"
                    ),
                ),
                (
                    "suggestion",
                    models.TextField(blank=True, db_default="", help_text="What the engine thinks should be done."),
                ),
                ("assignee", models.CharField(blank=True, db_default="", help_text="Who sees to it.", max_length=150)),
                ("acknowledged_at", models.DateTimeField(null=True)),
                ("acknowledged_by", models.CharField(blank=True, db_default="", max_length=150)),
                (
                    "notify_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(),
                        help_text="When a notice is published next.",
                        null=True,
                    ),
                ),
                (
                    "notices",
                    models.PositiveIntegerField(
                        db_default=0, help_text="Notices published, of which some may be lost."
                    ),
                ),
                (
                    "sent",
                    models.PositiveIntegerField(
                        db_default=0, help_text="Number of the last notice known to have been sent."
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("resolved_at__isnull", True)),
                        fields=("run",),
                        name="sagas_escalation_one_open",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(
                                ("acknowledged_at__isnull", True),
                                ("notify_at__isnull", False),
                                ("resolved_at__isnull", True),
                            ),
                            models.Q(
                                ("notify_at__isnull", True),
                                models.Q(
                                    ("resolved_at__isnull", False), ("acknowledged_at__isnull", False), _connector="OR"
                                ),
                            ),
                            _connector="OR",
                        ),
                        name="sagas_escalation_is_told",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("state__in", ["AWAITING_CONFIRM", "COMPENSATING", "CONFIRMING", "EXECUTING", "PENDING"])
                        ),
                        name="sagas_escalation_of_live",
                    ),
                ],
                "indexes": [
                    models.Index(
                        condition=models.Q(("notify_at__isnull", False)),
                        fields=["notify_at"],
                        name="sagas_escalation_notify",
                    )
                ],
                "permissions": [
                    ("acknowledge_escalation", "Can acknowledge escalations, and take them"),
                    ("resolve_escalation", "Can end an escalated run by hand"),
                ],
            },
        ),
        migrations.CreateModel(
            name="Breaker",
            fields=[
                ("participant", models.CharField(max_length=150, primary_key=True, serialize=False)),
                ("step", models.CharField(max_length=48)),
                ("opened_at", models.DateTimeField()),
                (
                    "closed_at",
                    models.DateTimeField(help_text="When a probe succeeded; none while it is open.", null=True),
                ),
                ("probe_at", models.DateTimeField(help_text="When the next probe may go.")),
                ("probe_run", models.UUIDField(help_text="The last probe.", null=True)),
                ("probe_operation", models.CharField(blank=True, max_length=16)),
                (
                    "failed",
                    models.PositiveIntegerField(
                        help_text="Retried operations that failed in the last window, at the opening."
                    ),
                ),
                ("retried", models.PositiveIntegerField(help_text="Retried operations that were looked at then.")),
            ],
            options={
                "indexes": [],
                "constraints": [],
            },
        ),
        migrations.CreateModel(
            name="BreakerSample",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("participant", models.CharField(max_length=150)),
                ("at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("succeeded", models.PositiveIntegerField()),
                ("failed", models.PositiveIntegerField()),
            ],
            options={
                "indexes": [models.Index(fields=["participant", "at"], name="sagas_sample_latest")],
                "constraints": [],
            },
        ),
        migrations.CreateModel(
            name="Lock",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("key", models.CharField(max_length=128)),
                ("run_id", models.UUIDField()),
                (
                    "family",
                    models.UUIDField(
                        help_text="The run of which this one is a step, or a step of a step; else itself."
                    ),
                ),
                ("ticket", models.BigIntegerField()),
                ("since", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
            ],
            options={
                "indexes": [models.Index(fields=["key", "ticket"], name="sagas_lock_line")],
                "constraints": [models.UniqueConstraint(fields=("run_id", "key"), name="sagas_lock_once")],
            },
        ),
        migrations.CreateModel(
            name="Outbox",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "run_id", "position", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("run_id", models.UUIDField()),
                ("position", models.PositiveIntegerField(help_text="In the run's history, from 1, without a gap.")),
                ("name", models.CharField(max_length=120)),
                ("saga", models.CharField(max_length=100)),
                ("version", models.PositiveSmallIntegerField()),
                ("step", models.CharField(blank=True, max_length=48)),
                ("business_key", models.CharField(blank=True, max_length=64)),
                ("trace_id", models.UUIDField()),
                ("occurred_at", models.DateTimeField()),
                ("data", models.JSONField(null=True)),
                (
                    "attempt",
                    models.PositiveSmallIntegerField(default=0, help_text="How often RabbitMQ has refused it."),
                ),
                ("due_at", models.DateTimeField(help_text="When it is published, or tried again.")),
            ],
            options={
                "indexes": [models.Index(fields=["due_at"], name="sagas_outbox_due")],
                "constraints": [],
            },
        ),
        migrations.CreateModel(
            name="Inbox",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "consumer", "event_id", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("consumer", models.CharField(max_length=48)),
                ("event_id", models.CharField(max_length=100)),
                ("received_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
            ],
            options={
                "verbose_name_plural": "inbox",
                "indexes": [models.Index(fields=["received_at"], name="sagas_inbox_received")],
                "constraints": [],
            },
        ),
        migrations.CreateModel(
            name="QueuedEvent",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "listener", "run_id", "position", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("listener", models.CharField(max_length=48)),
                ("run_id", models.UUIDField()),
                ("position", models.PositiveIntegerField(help_text="In the run's history, from 1.")),
                ("name", models.CharField(max_length=120)),
                ("saga", models.CharField(max_length=100)),
                ("version", models.PositiveSmallIntegerField()),
                ("step", models.CharField(blank=True, max_length=48)),
                ("business_key", models.CharField(blank=True, max_length=64)),
                ("trace_id", models.UUIDField()),
                ("occurred_at", models.DateTimeField()),
                ("data", models.JSONField(null=True)),
                (
                    "attempt",
                    models.PositiveSmallIntegerField(default=0, help_text="How often it was given to the listener."),
                ),
                ("due_at", models.DateTimeField(help_text="When it is given to the listener, or given again.")),
                ("error", models.TextField(blank=True, help_text="The class of the error at the last attempt.")),
                (
                    "dead_at",
                    models.DateTimeField(
                        help_text="When it was set aside; nobody gives it to the listener again.", null=True
                    ),
                ),
            ],
            options={
                "indexes": [
                    models.Index(condition=models.Q(("dead_at", None)), fields=["due_at"], name="sagas_queued_due"),
                    models.Index(fields=["run_id"], name="sagas_queued_run"),
                ],
                "constraints": [],
            },
        ),
        migrations.CreateModel(
            name="Barrier",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "run_id", "step", "operation", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("run_id", models.UUIDField()),
                ("step", models.CharField(max_length=48)),
                ("operation", models.CharField(max_length=16)),
                (
                    "outcome",
                    models.CharField(
                        choices=[
                            ("DONE", "DONE"),
                            ("REJECTED", "REJECTED"),
                            ("ACCEPTED", "ACCEPTED"),
                            ("VOID", "VOID"),
                        ],
                        max_length=8,
                    ),
                ),
                ("attempt", models.PositiveSmallIntegerField()),
                ("at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("data", models.JSONField(help_text="Result or rejection.", null=True)),
            ],
            options={
                "indexes": [],
                "constraints": [],
            },
        ),
        migrations.CreateModel(
            name="Worker",
            fields=[
                ("name", models.CharField(max_length=100, primary_key=True, serialize=False)),
                ("beat_at", models.DateTimeField(help_text="When it was last heard of.")),
                (
                    "ticked_at",
                    models.DateTimeField(help_text="When it last asked for a dispatch on a tick.", null=True),
                ),
                (
                    "delivered_at",
                    models.DateTimeField(help_text="When it last began to work on a delivery.", null=True),
                ),
                ("busy", models.PositiveIntegerField(default=0, help_text="Deliveries that were being worked on.")),
                ("busy_since", models.DateTimeField(help_text="Since when on the first of them.", null=True)),
                ("queues", models.TextField(blank=True, help_text="What it consumes, separated by commas.")),
            ],
            options={
                "indexes": [],
                "constraints": [],
            },
        ),
        migrations.CreateModel(
            name="Horizon",
            fields=[
                ("saga", models.CharField(max_length=100, primary_key=True, serialize=False)),
                ("before", models.DateTimeField(help_text="Runs that ended before may be gone.")),
            ],
            options={
                "indexes": [],
                "constraints": [],
            },
        ),
        migrations.CreateModel(
            name="Tombstone",
            fields=[
                ("run_id", models.UUIDField(primary_key=True, serialize=False)),
                ("pruned_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
            ],
            options={
                "indexes": [],
                "constraints": [],
            },
        ),
        migrations.CreateModel(
            name="Pruning",
            fields=[
                ("part", models.CharField(max_length=16, primary_key=True, serialize=False)),
                ("after", models.UUIDField(help_text="The last run that was looked at.")),
                (
                    "next_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(), help_text="When a tick goes on."
                    ),
                ),
            ],
            options={
                "indexes": [],
                "constraints": [],
            },
        ),
        migrations.RunSQL(STORAGE, migrations.RunSQL.noop),
        migrations.RunSQL([RUN_GUARDS, LOG_GUARDS], NO_GUARDS),
    ]
