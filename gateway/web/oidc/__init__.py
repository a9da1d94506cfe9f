"""Logging in by an identity provider (OpenID Connect): its client, what a token must prove, and the two routes."""
