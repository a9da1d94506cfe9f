"""The A/R mail gateway: sends a tenant's invoices, and threads what comes back."""

__version__ = "0.1.0"
