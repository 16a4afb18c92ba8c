"""Migrations of the delivery tables."""
