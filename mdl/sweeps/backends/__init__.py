"""Where a sweep's jobs run, a file a back end."""
