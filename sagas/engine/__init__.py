"""The engine: one transaction each. What must be published is returned as data."""
