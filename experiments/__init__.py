"""What is trained: data, models, optimizers, schedules. Knows nothing of sweeps, Ray or reports."""
