"""Stock of the drinks that the shop sells. It imports no other domain."""
