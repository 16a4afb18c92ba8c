"""Found by Django by its place and name."""
