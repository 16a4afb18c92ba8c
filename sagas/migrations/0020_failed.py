"""An index of failed runs, for the lists of people. It is built without a lock; interrupted, it can be run again."""

from django.db import migrations, models

import sagas.states


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("sagas", "0019_queued_events")]

    operations = [
        migrations.RunSQL(
            (
                "DROP INDEX CONCURRENTLY IF EXISTS sagas_run_failed",
                "CREATE INDEX CONCURRENTLY sagas_run_failed ON sagas_run (id) WHERE state = 'FAILED'",
            ),
            "DROP INDEX CONCURRENTLY IF EXISTS sagas_run_failed",
            state_operations=[
                migrations.AddIndex(
                    model_name="run",
                    index=models.Index(
                        condition=models.Q(("state", sagas.states.State["FAILED"])),
                        fields=["id"],
                        name="sagas_run_failed",
                    ),
                )
            ],
        )
    ]
