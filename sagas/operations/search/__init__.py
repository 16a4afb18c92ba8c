"""Finding runs: one line with qualifiers, which browser and shell take alike.

``line`` reads it, and knows no table. ``runs`` turns it into a query that an index bounds.
"""
