"""The rules, by theme. Each is a pure function of a document and a context."""
