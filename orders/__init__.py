"""Orders: the domain that composes the others by a saga, and its HTTP API."""
