"""Scenarios: given, when and then, on the real engine without a broker."""
