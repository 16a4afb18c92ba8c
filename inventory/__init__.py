"""Stock of the drinks that the shop sells. Knows no other domain."""
