"""Read published data sets or a user's own files; fetch a published set."""
