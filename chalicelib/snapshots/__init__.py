"""Which blocks of an image go where, and writing them through the EBS direct API."""
