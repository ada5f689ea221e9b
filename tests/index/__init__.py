"""The index: records, what may follow what, and the table."""
