"""Pages and (later) the HTTP API: HTML and JSON over the same functions."""
