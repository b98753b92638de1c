"""What `make` starts: the demo, and the servers that run until Ctrl-C."""
