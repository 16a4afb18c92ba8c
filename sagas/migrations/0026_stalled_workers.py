"""Since when messages have waited of which a worker has got none. A column without a default: no row is written."""

from django.db import migrations, models


class Migration(migrations.Migration):
    """Add the column."""

    dependencies = [("sagas", "0025_measurements")]

    operations = [
        migrations.AddField(
            model_name="worker",
            name="stalled_at",
            field=models.DateTimeField(help_text="Since when messages wait of which it has got none.", null=True),
        ),
    ]
