"""From scores to probabilities and thresholds that keep a promise."""
