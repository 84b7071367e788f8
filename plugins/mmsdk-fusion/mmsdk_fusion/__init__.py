"""More fusion strategies for mmsdk, as a plugin like anybody's."""
