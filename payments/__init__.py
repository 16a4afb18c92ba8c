"""Payments: the gateway's messages, the state of each payment, and payments that are due back."""
