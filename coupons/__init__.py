"""Coupons, and their redemptions. Knows no other domain."""
