"""All settings: declared, checked, loaded and saved."""
