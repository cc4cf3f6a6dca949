"""A published data set and a model of the hub as the subject of a study."""
