"""A summary of the log by id, so that what came since an id is found without reading all of it.

The log is large, and orders go on: it is built without a lock. The migration may be interrupted and be run again. The
model does not name it: Django's class of such an index needs a driver.
"""

from django.db import migrations


class Migration(migrations.Migration):
    """Add the index."""

    atomic = False
    dependencies = [("sagas", "0027_service_levels")]

    operations = [
        migrations.RunSQL(
            (
                "DROP INDEX CONCURRENTLY IF EXISTS sagas_log_by_id",
                "CREATE INDEX CONCURRENTLY sagas_log_by_id ON sagas_log USING brin (id) "
                "WITH (pages_per_range = 32, autosummarize = on)",
            ),
            ("DROP INDEX CONCURRENTLY IF EXISTS sagas_log_by_id",),
        ),
    ]
