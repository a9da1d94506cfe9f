"""The postroom: real Debian servers for the tests, each in a folder of its own on free ports of 127.0.0.1.

The fixtures (postroom/fixtures.py) are registered by tests/conftest.py; a file per server holds its configuration
and what a test may ask of it. Nothing here touches the machine's own instances, and every process is ended by its
own id. A program that is not installed skips the test by name; where CI is set it fails the test instead.
"""
