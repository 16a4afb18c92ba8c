"""What becomes of a confirmed order in its store: staff's page, refusals, and another slot."""
