"""Files: written whole or not at all, cached, sliced; and which process wrote them."""
