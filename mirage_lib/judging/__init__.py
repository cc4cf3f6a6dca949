"""Replies of any model to their verdicts, and how far people agree with these."""
