"""Migrations of the inventory tables."""
