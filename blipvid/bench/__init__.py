"""What a person starts: the command line, the runner, records, tables."""
