"""Judges: (example, reply) to verdict."""
