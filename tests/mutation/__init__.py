"""Mutation tests: cosmic-ray changes one thing at a time in the engine, and the tests must notice."""
