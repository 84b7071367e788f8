"""Video for mmsdk: clips, their sound, encoders of what moves."""
