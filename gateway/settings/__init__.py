"""What a tenant's administrators set: templates, triggers, delivery. Called by the pages; computes what they show."""
