"""5. After the commit: what happened is said."""
