"""`gateway run`: a sample tenant and a fake outside world, all on loopback."""
