"""What ships with mmsdk, registered through the same hooks as any plugin."""
