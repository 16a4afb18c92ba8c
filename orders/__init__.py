"""Orders: the domain that composes the others by a saga, and the API to it."""
