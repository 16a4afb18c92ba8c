"""The contract of remote participants, against the one in Node.js."""
