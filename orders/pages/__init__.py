"""The pages of customers: order, follow one's orders, join a group buy. They work without JavaScript."""
