"""What a file says of itself: an independent look that is held against what is read of it."""
