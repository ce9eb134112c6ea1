"""What the benchmark of streams runs, each in a process of its own: a producer, the bare stream, and our job."""
