"""Disk formats: whatever file a builder uploads, read as the raw disk in it.

``formats`` knows the formats and opens a disk, ``packed`` unpacks a raw disk that is compressed as a whole, ``reading`` is
what the readers of the formats share.  There is a module for each format that has tables.
"""
