"""One index of the log where there were two, and half as large: an effect is unique by a hash of its names.

The log is large, and orders go on: the index is built without a lock. The migration may be interrupted at any statement
and be run again: at every moment one valid index proves that effects happen once.

Without a primary key, logical replication of deletions needs the whole row.
"""

from django.db import migrations, models

EFFECT = "hashtextextended(step || ' ' || operation, 0)"
ONCE = "(run_id, (CASE WHEN outcome = 'DONE' THEN {} END))"
BEFORE = "(run_id, step, operation, (CASE WHEN outcome = 'DONE' THEN 0 ELSE id END))"


def replaced_by(columns: str) -> tuple[str, ...]:
    return (
        "DROP INDEX CONCURRENTLY IF EXISTS sagas_log_effect_once_next",
        "DROP INDEX CONCURRENTLY IF EXISTS sagas_log_effect_once_before",
        f"CREATE UNIQUE INDEX CONCURRENTLY sagas_log_effect_once_next ON sagas_log {columns}",
        "DO $$ BEGIN "
        "ALTER INDEX sagas_log_effect_once RENAME TO sagas_log_effect_once_before; "
        "ALTER INDEX sagas_log_effect_once_next RENAME TO sagas_log_effect_once; END $$",
        "DROP INDEX CONCURRENTLY sagas_log_effect_once_before",
    )


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("sagas", "0017_narrow_log")]

    operations = [
        migrations.RunSQL(
            replaced_by(ONCE.format(EFFECT)),
            replaced_by(BEFORE),
            state_operations=[
                migrations.RemoveConstraint(model_name="log", name="sagas_log_effect_once"),
                migrations.AddConstraint(
                    model_name="log",
                    constraint=models.UniqueConstraint(
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
                    ),
                ),
            ],
        ),
        migrations.RunSQL(
            [
                "ALTER TABLE sagas_log REPLICA IDENTITY FULL",
                "ALTER TABLE sagas_log DROP CONSTRAINT IF EXISTS sagas_log_pkey",
            ],
            [
                "ALTER TABLE sagas_log DROP CONSTRAINT IF EXISTS sagas_log_pkey",
                "ALTER TABLE sagas_log ADD PRIMARY KEY (id)",
                "ALTER TABLE sagas_log REPLICA IDENTITY DEFAULT",
            ],
        ),
    ]
