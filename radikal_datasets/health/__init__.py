"""Looking at a tree before trusting it."""
