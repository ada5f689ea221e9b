"""Where a build goes, letting it out, and what became of it."""
