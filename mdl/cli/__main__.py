"""`python -m mdl.cli`, which queued Slurm arrays name."""

from mdl.cli.app import main

if __name__ == "__main__":
    main()
