"""MAIL THAT COMES: the receiver, the door, reports and replies."""
