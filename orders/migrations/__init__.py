"""Migrations of the orders tables."""
