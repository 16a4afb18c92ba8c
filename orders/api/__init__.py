"""The HTTP API of orders, `/api/v1/`."""
