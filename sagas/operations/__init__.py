"""What operators run: the doctor, the repair after a restore, and the grants of the application's database role."""
