"""A deployment's topics as files: written, and put back with their offsets."""
