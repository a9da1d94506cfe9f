"""The settings' pages: what a tenant's administrators set, and auditors look at."""
