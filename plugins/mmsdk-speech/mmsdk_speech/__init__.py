"""Speech and other sound for mmsdk: waveforms, spectral features, encoders."""
