"""What a job is, as frozen values; nothing here knows Spark."""
