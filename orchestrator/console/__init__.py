"""What people watch in a terminal: progress, plans, status, timelines, TensorBoard files."""
