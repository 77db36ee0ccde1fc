"""A soak: steady load while old data is deleted, and whether anything grows that should not."""
