"""Races for locks, on real PostgreSQL, by real connections at the same time, driven step by step."""
