"""The typed client of the API, as it is generated from the API's document, and what it is used for in tests.

Import ``story`` only where ``generated`` has made the client.
"""
