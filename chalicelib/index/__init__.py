"""The index: what was built, and what became of it in each Region.  The truth; everything public is derived from it."""
