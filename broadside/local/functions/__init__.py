"""Lambda: each function runs in worker processes of its own, forked from a process that has imported the libraries."""
