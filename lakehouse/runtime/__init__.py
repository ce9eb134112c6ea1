"""A job, run: the session, the five calls, and what a person asks before and after."""
