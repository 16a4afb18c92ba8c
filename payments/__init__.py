"""Payments: what the gateway says of them, what becomes of each, and what is to be given back."""
