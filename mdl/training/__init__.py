"""A cohort of configurations becomes trained weights and records."""
