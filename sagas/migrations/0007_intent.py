from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("sagas", "0006_locks"),
    ]

    operations = [
        migrations.AlterField(
            model_name="log",
            name="outcome",
            field=models.CharField(
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
    ]
