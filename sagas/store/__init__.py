"""All SQL and all locks of the engine's tables. Nothing else opens a cursor on them."""
