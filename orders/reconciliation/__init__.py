"""Reconciliation: stock, coupons, slots, money and campaigns against the runs and their logs, from one list."""
