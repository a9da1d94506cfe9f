"""The only place where state lives. A table has one writing file; only `database` knows a dialect."""
