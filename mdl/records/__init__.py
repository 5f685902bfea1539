"""What is measured, as frozen records on disk."""
