"""Declarations of the strategies, by idea. No torch here: `build` imports it."""
