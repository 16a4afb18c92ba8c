"""What operators ask of the installation: the doctor, the repair after a restore, the rights of the database's role."""
