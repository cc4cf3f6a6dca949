"""A study combines data, models, attacks and judges, run by run, and keeps every run in the store."""
