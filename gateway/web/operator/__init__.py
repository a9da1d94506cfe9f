"""The pages of whoever runs the gateway: the queue, destinations, nodes and their health, tenants, plots of a day."""
