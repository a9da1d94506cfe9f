"""The pure bottom room: bytes in, values out; no clock, socket or database."""
