"""Registering, copying, checking and sharing AMIs."""
