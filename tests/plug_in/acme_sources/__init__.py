"""A package from outside with one source, as a plant or a university would publish it."""
