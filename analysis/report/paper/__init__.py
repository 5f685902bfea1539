"""Table 1 of Delétang et al."""
