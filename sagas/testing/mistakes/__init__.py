"""Finds usual mistakes of participants by calling each of them several more times."""
