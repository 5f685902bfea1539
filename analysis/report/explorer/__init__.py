"""The report's explorer, one HTML page."""
