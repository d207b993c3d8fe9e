"""What is printed on a terminal or into a log of a build: tables, checkpoints, progress."""
