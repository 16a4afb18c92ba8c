"""What the engine requires: versions of packages and servers, and settings of PostgreSQL."""
