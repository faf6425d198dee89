"""PostgreSQL as the gateway uses it: connecting, creating, backing up, remembering the salt key."""
