"""``lakehouse certify``: a job is killed wherever it commits something, and must end as if it had not been."""
