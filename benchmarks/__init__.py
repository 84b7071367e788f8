"""Side by side: mmsdk and what people use instead, the same work in one process, as ratios."""
