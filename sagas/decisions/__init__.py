"""What comes next for a run, and what its history means. Pure: no clock, no SQL, no broker."""
