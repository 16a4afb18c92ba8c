"""Finds the usual mistakes of participants by calling each a few times more."""
