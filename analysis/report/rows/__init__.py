"""The rows of summary.json: what each section measures, a file per subject and a comment a key."""
