"""A user's own table or conversations, read as labelled queries."""
