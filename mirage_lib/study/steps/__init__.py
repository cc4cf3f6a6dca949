"""The steps of a study, one file each, so that a step depends only on the code it needs."""
