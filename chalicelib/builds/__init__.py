"""Builds: the signed manifest, the files that it names, and taking an upload in."""
