"""2. Rows are held against their contract: what is kept, and what is put aside as it was received."""
