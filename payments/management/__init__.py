"""The payments' commands."""
