"""Words of prompts: tokens, counts and their tests, bag-of-words classifiers, trigger words."""
