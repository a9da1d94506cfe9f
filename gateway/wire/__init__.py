"""The wire: bounded SMTP servers that the doorsteps of both directions share."""
