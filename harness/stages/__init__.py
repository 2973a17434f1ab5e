"""What happens to a scene, one file a stage: load, condition, separate, score."""
