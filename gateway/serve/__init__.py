"""The gateway as a process: what it is made of, where it listens, and how it starts and ends."""
