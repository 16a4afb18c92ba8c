"""Delivery slots, and who has booked them. Knows no other domain."""
