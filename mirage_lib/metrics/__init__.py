"""All rates and their intervals."""
