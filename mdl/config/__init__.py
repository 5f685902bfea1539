"""What a run is told: every field checked and documented."""
