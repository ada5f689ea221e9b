"""Who may do what: the policies of roles and buckets, checked for every call."""
