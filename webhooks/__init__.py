"""Webhooks: what happens to a customer's things is told to the addresses that the customer has registered."""
