"""Other libraries that put something of theirs into the models."""
