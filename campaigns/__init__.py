"""Group buys: a drink at a lower price if enough customers join in time. It imports no other domain."""
