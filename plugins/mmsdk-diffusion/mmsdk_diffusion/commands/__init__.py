"""Commands of mmsdk: what is heavy is imported when a command runs."""
