"""The wording of refusals: what a reply itself says, and the phrases in which models refuse, by kind and language."""
