"""What every stage uses: errors, rows, labels, progress, runs and their store."""
