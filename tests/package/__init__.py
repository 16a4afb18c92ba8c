"""The package as others get it: its wheel, in environments of its own."""
