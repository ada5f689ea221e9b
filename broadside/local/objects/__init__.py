"""S3's objects: their bytes lie in one file of the state folder, and a read takes just the range that it asks for."""
