"""How the packaged base model is made, from openly licensed recordings to weights."""
