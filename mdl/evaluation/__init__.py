"""What coders and trained models make of any data, as records."""
