"""The byte Transformer, stacked: its shapes, passes and code lengths."""
