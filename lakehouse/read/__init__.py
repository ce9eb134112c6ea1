"""1. A source becomes rows, each with where it came from."""
