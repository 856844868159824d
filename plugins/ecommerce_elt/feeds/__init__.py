"""The contracts of the feeds, the roles they play, the SQL they make, and the envelope of an event."""
