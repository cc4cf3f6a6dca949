"""The tables that chapters show."""
