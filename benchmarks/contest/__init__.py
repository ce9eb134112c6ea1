"""The writes of several libraries on the same tables, side by side; ``benchmarks/writes.py`` is the program."""
