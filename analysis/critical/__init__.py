"""The critical model size of each dataset size, its interval and its law."""
