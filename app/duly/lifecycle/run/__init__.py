"""Records of running attempts: progress, log lines, checkpoints and child jobs."""
