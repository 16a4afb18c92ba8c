"""What the engine asks of Redis. Redis may postpone work; it never denies work, and nothing here is needed."""
