"""What clerks do with threads: read, reply, note, close."""
