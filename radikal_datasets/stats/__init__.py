"""What a set holds: counts, box sizes and positions, image sizes, gray levels."""
