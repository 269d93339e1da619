"""What this program is, in seconds and without torch: a dream is learned, and learned in."""
