"""Everything that uses Redis. Redis may postpone work and never denies it: the engine works without."""
