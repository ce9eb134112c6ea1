"""What every stage stands on: a Delta table, a frame, a checkpoint, files on disk."""
