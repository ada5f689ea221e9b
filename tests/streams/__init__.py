"""The public files: their format, and how they are brought up to the index."""
