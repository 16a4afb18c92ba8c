"""Migrations of the coupons tables."""
