"""All rates and their intervals, and how far to trust the judge behind them."""
