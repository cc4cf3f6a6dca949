"""The claims of the paper and of the book, and how each is tested."""
