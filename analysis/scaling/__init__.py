"""The law of the loss over model and dataset sizes."""
