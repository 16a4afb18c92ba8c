"""A second opinion, within seconds: the write-ahead log says which rows were changed, and these are checked at once."""
