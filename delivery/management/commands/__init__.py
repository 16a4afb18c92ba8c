"""Commands of the delivery domain."""
