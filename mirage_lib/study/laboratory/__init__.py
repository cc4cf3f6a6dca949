"""The drawn world as the subject of a study: its data, its questions, its base model."""
