"""Deleting images and their data: at once or later, and bringing images back in between."""
