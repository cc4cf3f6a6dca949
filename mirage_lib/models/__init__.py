"""Models: load, train and ask them. Everything that needs torch."""
