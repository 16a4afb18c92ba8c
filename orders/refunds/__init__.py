"""Refunds of confirmed orders: whole, or by line."""
