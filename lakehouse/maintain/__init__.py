"""Between runs: files are brought together, and what nobody needs any more is removed: rows, files, events."""
