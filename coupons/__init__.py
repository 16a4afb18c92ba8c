"""Coupons and their redemptions. It imports no other domain."""
