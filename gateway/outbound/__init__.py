"""MAIL THAT LEAVES: the doorsteps, the door, the queue and delivery."""
