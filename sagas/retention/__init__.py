"""Old runs: for how long they are kept, how they are archived, and how they are deleted."""
