"""The so-vits-svc 4.0 and 4.1 family (models spec 2 to 7)."""
