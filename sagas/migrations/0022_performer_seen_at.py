"""Until when a performer was on record for its worker, so that those of workers that are gone can be deleted.

Workers of before do not renew it. They may run beside those of this version for a day.
"""

import django.db.models.functions.datetime
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("sagas", "0021_light_guards")]

    operations = [
        migrations.AddField(
            model_name="performer",
            name="seen_at",
            field=models.DateTimeField(
                db_default=django.db.models.functions.datetime.Now(),
                help_text="When its worker last looked whether it is on record.",
            ),
        ),
    ]
