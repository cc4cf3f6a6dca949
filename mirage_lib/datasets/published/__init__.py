"""The loaders of published data sets, one module per set or family of sets."""
