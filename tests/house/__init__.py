"""What keeps the house in order: documents that say what the code says, and rules of the tree no linter knows."""
