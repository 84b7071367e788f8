"""What is written for those who begin something: `mmsdk plugins new`."""
