"""One epoch on a backend."""
