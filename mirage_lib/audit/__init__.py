"""A data set to its audit report."""
