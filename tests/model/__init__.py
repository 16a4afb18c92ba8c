"""An explicit-state model of a run's life, explored whole: no database, no clock, no luck."""
