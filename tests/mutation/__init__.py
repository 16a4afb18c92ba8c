"""Mutation tests: one thing at a time is changed in the engine, and the tests must notice."""
