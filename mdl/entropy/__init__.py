"""From logits to bits and back, exactly, on any machine."""
