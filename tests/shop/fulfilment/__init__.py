"""What becomes of confirmed orders in their stores, by HTTP."""
