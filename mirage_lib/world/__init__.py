"""The laboratory's drawn world: scenes, questions with true answers, training data."""
