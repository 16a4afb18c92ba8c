"""What the engine needs of others: versions of packages and servers, and settings of PostgreSQL."""
