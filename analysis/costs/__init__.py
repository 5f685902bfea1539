"""What a parameter costs."""
