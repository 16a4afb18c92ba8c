"""Delivery slots and their bookings. It imports no other domain."""
