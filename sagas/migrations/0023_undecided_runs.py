"""An index of the runs that await a decision for many. It is built without a lock; interrupted, it can be run again."""

from django.db import migrations, models

import sagas.states


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("sagas", "0023_shared_decisions")]

    operations = [
        migrations.RunSQL(
            (
                "DROP INDEX CONCURRENTLY IF EXISTS sagas_run_undecided",
                "CREATE INDEX CONCURRENTLY sagas_run_undecided ON sagas_run (saga, decision_key, id) "
                "WHERE decided_at IS NULL AND decision_key IS NOT NULL "
                "AND state IN ('AWAITING_CONFIRM', 'ESCALATED', 'EXECUTING', 'PENDING')",
            ),
            "DROP INDEX CONCURRENTLY IF EXISTS sagas_run_undecided",
            state_operations=[
                migrations.AddIndex(
                    model_name="run",
                    index=models.Index(
                        condition=models.Q(
                            ("decided_at__isnull", True),
                            ("decision_key__isnull", False),
                            (
                                "state__in",
                                [
                                    sagas.states.State["AWAITING_CONFIRM"],
                                    sagas.states.State["ESCALATED"],
                                    sagas.states.State["EXECUTING"],
                                    sagas.states.State["PENDING"],
                                ],
                            ),
                        ),
                        fields=["saga", "decision_key", "id"],
                        name="sagas_run_undecided",
                    ),
                )
            ],
        )
    ]
