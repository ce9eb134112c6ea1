"""After a crash or a mistake: a lost checkpoint, a run that should not have been, a range to run again."""
