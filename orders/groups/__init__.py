"""Group buys put together: campaigns with orders, stock, runs, pages and the admin."""
