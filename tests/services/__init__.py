"""Tests of `scripts/services`."""
