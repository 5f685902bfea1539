"""Where corpora come from, a file a kind."""
