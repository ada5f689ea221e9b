"""The public files: rendered from the index alone, signed, checked as a reader does, and swapped in."""
